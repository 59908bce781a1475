"""What the client asks and how it reads answers: pure, and the one place that decides what is sent again."""

import json

import httpx2
import pytest

from client import Problem, Request, customers, domains, events
from client.request import ATTEMPTS, LONGEST_WAIT, wait_before_next


def _problem(code: str, **headers: str) -> httpx2.Response:
    return httpx2.Response(503, headers=headers, content=json.dumps({"code": code, "detail": "why"}).encode())


def test_what_was_not_said_is_left_out_and_null_is_said() -> None:
    assert customers.change_customer("ext:4/2", plan_id=None).body == {"plan_id": None}
    assert customers.change_customer("ext:4/2").path == "/v1/customers/ext:4%2F2"
    assert events.list_events(type_=["dsn.failed", "dsn.delayed"]).path == "/v1/events?type=dsn.failed&type=dsn.delayed"
    assert domains.change_domain("x", if_match='"1"').headers == {"If-Match": '"1"'}


def test_the_next_page_keeps_what_was_asked() -> None:
    first = domains.list_domains(customer_id="ext:42", limit=2)
    assert first.after("dom_1").after("dom_2").path == "/v1/domains?customer_id=ext%3A42&limit=2&cursor=dom_2"


def test_a_post_has_a_key_of_its_own_each_time_and_nothing_else_has() -> None:
    post = customers.create_customer(name="Farm")
    assert len({post.to_headers()["Idempotency-Key"] for _ in range(2)}) == 2
    assert "Idempotency-Key" not in customers.list_customers().to_headers()
    mine: Request[object] = Request("POST", "/", headers={"Idempotency-Key": "mine"})
    assert mine.to_headers() == {"Idempotency-Key": "mine"}


@pytest.mark.parametrize(
    ("method", "response", "again"),
    [
        ("GET", None, True), ("PUT", None, True), ("POST", None, True), ("PATCH", None, False), ("DELETE", None, False),
        ("POST", _problem("unavailable"), True), ("PATCH", _problem("unavailable"), False),
        ("PATCH", _problem("rate_limited"), True), ("POST", _problem("idempotency_in_progress"), True),
        ("GET", _problem("not_found"), False), ("GET", httpx2.Response(200), False),
        ("GET", httpx2.Response(502, content=b"<html>"), False), ("GET", httpx2.Response(502, content=b"[]"), False),
    ],
)  # fmt: skip
def test_what_is_sent_again(method: str, response: httpx2.Response | None, again: bool) -> None:
    assert (wait_before_next(method, 1, response) is not None) is again
    assert wait_before_next(method, ATTEMPTS, response) is None


def test_how_long_it_waits() -> None:
    assert [wait_before_next("GET", attempt, None) for attempt in (1, 2, 3)] == [0.5, 1.0, 2.0]
    told = {"7": 7.0, "9999": LONGEST_WAIT, "soon": 1.0}
    for value, seconds in told.items():
        assert wait_before_next("GET", 1, _problem("rate_limited", **{"Retry-After": value})) == seconds


@pytest.mark.parametrize("content", [b"", b"<html>", b"[1]"])
def test_what_a_proxy_says_is_a_problem_too(content: bytes) -> None:
    with pytest.raises(Problem) as caught:
        customers.list_customers().read(httpx2.Response(502, content=content))
    assert caught.value.code == "http_502" and "says no" in str(caught.value)


def test_a_problem_says_what_is_wrong_and_where() -> None:
    body = {"code": "validation_failed", "detail": "no", "errors": [{"pointer": "/name", "detail": "too long"}]}
    with pytest.raises(Problem) as caught:
        customers.list_customers().read(httpx2.Response(422, content=json.dumps(body).encode()))
    assert str(caught.value) == "no; /name: too long (validation_failed)"
