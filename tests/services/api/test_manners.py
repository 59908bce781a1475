"""How the API behaves whatever the noun: repeated requests, versions, rates, the audit log."""

import asyncio

import pytest

from services.api.app import create_app
from services.api.rate import BURST_SECONDS, Rates
from shared.domain.access import Principal, Role
from shared.domain.names import CustomerId, from_public_id
from shared.metrics import REGISTRY
from shared.storage.engine import Pool
from tests.counting import grows
from tests.services.api.conftest import Api, make_customer


async def test_a_post_with_a_key_is_done_once(api: Api, pool: Pool) -> None:
    headers = {"Idempotency-Key": "order-17"}
    first = await api.operator.post("/v1/customers", json={"name": "farm"}, headers=headers)
    again = await api.operator.post("/v1/customers", json={"name": "farm"}, headers=headers)
    assert first.status_code == again.status_code == 201 and first.json() == again.json()
    assert "idempotent-replayed" not in first.headers and again.headers["idempotent-replayed"] == "true"
    assert await pool.fetchval("SELECT count(*) FROM customers") == 1
    other = await api.operator.post("/v1/customers", json={"name": "shop"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = await api.operator.post("/v1/plans", json={"name": "farm"}, headers=headers)
    assert elsewhere.json()["code"] == "idempotency_key_reused"
    for bad in ("", "x" * 256, "two words"):
        answer = await api.operator.post("/v1/customers", json={"name": "x"}, headers={"Idempotency-Key": bad})
        assert answer.json()["code"] == "validation_failed"


async def test_the_keys_of_two_principals_are_apart_and_a_secret_lies_sealed(api: Api, pool: Pool) -> None:
    customer_id = await make_customer(api, "farm")
    headers = {"Idempotency-Key": "1"}
    body = {"customer_id": customer_id}
    made = (await api.operator.post("/v1/credentials", json=body, headers=headers)).json()
    assert (await api.operator.post("/v1/credentials", json=body, headers=headers)).json() == made
    assert made["secret"].encode() not in await pool.fetchval("SELECT sealed_body FROM idempotency_keys")
    owner = CustomerId(from_public_id("cus", customer_id))
    own = await api.client(Principal(Role.CUSTOMER, owner, frozenset({"*"})))
    assert (await own.post("/v1/credentials", json=body, headers=headers)).json()["id"] != made["id"]


async def test_what_failed_is_done_anew(api: Api, pool: Pool) -> None:
    headers = {"Idempotency-Key": "1"}
    body = {"customer_id": "ext:x-farm", "name": "farm.example"}
    assert (await api.operator.post("/v1/domains", json=body, headers=headers)).status_code == 404
    await make_customer(api, "farm")
    assert (await api.operator.post("/v1/domains", json=body, headers=headers)).status_code == 201
    assert (await api.stranger.post("/v1/domains", json=body, headers=headers)).status_code == 401


async def test_one_that_is_being_done_is_409_and_one_that_died_is_done_anew(api: Api, pool: Pool) -> None:
    headers = {"Idempotency-Key": "1"}
    await api.operator.post("/v1/customers", json={"name": "farm"}, headers=headers)
    await pool.execute("UPDATE idempotency_keys SET status = NULL")
    busy = await api.operator.post("/v1/customers", json={"name": "farm"}, headers=headers)
    assert (busy.status_code, busy.json()["code"], busy.headers["retry-after"]) == (409, "idempotency_in_progress", "1")
    await pool.execute("UPDATE idempotency_keys SET begun_at = now() - interval '61 seconds'")
    assert (await api.operator.post("/v1/customers", json={"name": "farm"}, headers=headers)).status_code == 201


@pytest.mark.fresh_database
async def test_one_of_which_nobody_knows_is_not_forgotten(api: Api, pool: Pool) -> None:
    """A fault of ours, after which the request may have been done: it is not done again at once."""
    headers = {"Idempotency-Key": "1"}
    await pool.execute("ALTER TABLE customers RENAME TO gone")
    assert (await api.operator.post("/v1/customers", json={"name": "farm"}, headers=headers)).status_code == 503
    await pool.execute("ALTER TABLE gone RENAME TO customers")
    again = await api.operator.post("/v1/customers", json={"name": "farm"}, headers=headers)
    assert again.json()["code"] == "idempotency_in_progress"


async def test_many_at_once_are_one(api: Api, pool: Pool) -> None:
    headers = {"Idempotency-Key": "1"}
    answers = await asyncio.gather(
        *(api.operator.post("/v1/customers", json={"name": "farm"}, headers=headers) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert await pool.fetchval("SELECT count(*) FROM customers") == 1


async def test_an_etag_saves_a_body_and_guards_a_change(api: Api) -> None:
    await make_customer(api, "farm")
    await api.operator.post("/v1/domains", json={"customer_id": "ext:x-farm", "name": "farm.example"})
    await api.operator.post("/v1/plans", json={"name": "small"})
    for path, change in (
        ("/v1/customers/ext:x-farm", {"name": "Farm"}),
        ("/v1/domains/farm.example", {"eight_bit": "send"}),
        ("/v1/plans/small", {"max_domains": 3}),
    ):
        tag = (await api.operator.get(path)).headers["etag"]
        same = await api.operator.get(path, headers={"If-None-Match": f'"other", {tag}'})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        changed = await api.operator.patch(path, json=change, headers={"If-Match": tag})
        assert changed.status_code == 200 and changed.headers["etag"] != tag
        assert (await api.operator.get(path, headers={"If-None-Match": tag})).status_code == 200
        late = await api.operator.patch(path, json=change, headers={"If-Match": tag})
        assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
        assert (await api.operator.patch(path, json=change, headers={"If-Match": "*"})).status_code == 200


async def test_who_asks_too_often_hears_429(api: Api) -> None:
    api.app = create_app(api.app.state.parts, 1)  # type: ignore[attr-defined]
    client = await api.client(Principal(Role.OPERATOR, None, frozenset({"*"})))
    answers = [await client.get("/v1/whoami") for _ in range(BURST_SECONDS + 2)]
    assert [answer.status_code for answer in answers[:BURST_SECONDS]] == [200] * BURST_SECONDS
    assert answers[0].headers["ratelimit"] == f'"key";r={BURST_SECONDS - 1}'
    last = answers[-1]
    assert (last.status_code, last.json()["code"], last.headers["retry-after"]) == (429, "rate_limited", "1")
    other = await api.client(Principal(Role.OPERATOR, None, frozenset({"*"})))
    assert (await other.get("/v1/whoami")).status_code == 200


def test_a_bucket_fills_as_time_goes() -> None:
    rates = Rates(2)
    assert [rates.take(b"k", 0.0)[0] for _ in range(3)] == [19, 18, 17]
    for _ in range(17):
        rates.take(b"k", 0.0)
    assert rates.take(b"k", 0.0) == (0, 0.5) and rates.take(b"k", 0.4)[1] > 0 and rates.take(b"k", 1.0) == (1, 0.0)


async def test_the_audit_log_tells_who_changed_what(api: Api) -> None:
    customer_id = await make_customer(api, "farm")
    own = await api.client(Principal(Role.CUSTOMER, CustomerId(from_public_id("cus", customer_id)), frozenset({"*"})))
    await own.post("/v1/credentials", json={"customer_id": customer_id})
    await own.get("/v1/customers")
    await own.post("/v1/domains", json={"customer_id": customer_id, "name": "no domain"})
    for client, wanted in ((own, ["/v1/credentials"]), (api.operator, ["/v1/credentials", "/v1/customers"])):
        lines = (await client.get("/v1/audit_log")).json()["data"]
        assert [line["path"] for line in lines] == wanted
        assert {(line["method"], line["status"], line["key_name"]) for line in lines} == {("POST", 201, "test")}
        assert all(line["request_id"].startswith("req_") and line["id"].startswith("aud_") for line in lines)


async def test_requests_are_counted_by_what_was_asked_and_never_by_whom(api: Api) -> None:
    route = {"method": "GET", "route": "/v1/customers/{customer_id}", "status": "404"}
    odd = {"method": "other", "route": "unknown", "status": "405"}
    with grows(2, "odmr_api_requests_total", **route), grows(3, "odmr_api_request_duration_seconds_count"):
        for name in ("ext:a", "ext:b"):
            await api.operator.get(f"/v1/customers/{name}")
        await api.operator.request("BREW", "/v1/customers")
    assert REGISTRY.get_sample_value("odmr_api_requests_total", odd) or REGISTRY.get_sample_value(
        "odmr_api_requests_total", odd | {"route": "/v1/customers"}
    )
