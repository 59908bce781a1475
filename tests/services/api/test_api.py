"""The HTTP API: the nouns, lists, problems, and who may see what."""

from pathlib import Path

import pytest

from services.api.errors import CODES
from shared.domain.access import Principal, Role
from shared.domain.names import CustomerId, from_public_id
from shared.storage.accept import Acceptor
from shared.storage.engine import Pool
from tests.services.api.conftest import Api
from tests.services.api.conftest import make_customer as _customer
from tests.storage.seeding import seed


async def test_a_customer_a_domain_a_credential_and_a_queue(api: Api, database_url: str, pool: Pool) -> None:
    customer_id = await _customer(api, "Zoë & co")
    assert (await api.operator.get("/v1/customers/ext:x-Zoë & co")).json()["id"] == customer_id
    domain = (await api.operator.post("/v1/domains", json={"customer_id": customer_id, "name": "Zoë.Example."})).json()
    assert domain["name"] == "xn--zo-ija.example"
    for authcid in (None, "zoe"):
        credential = await api.operator.post(
            "/v1/credentials", json={"customer_id": "ext:x-Zoë & co", "authcid": authcid}
        )
        assert credential.status_code == 201
        body = credential.json()
        assert (
            body["customer_id"] == customer_id
            and len(body["secret"]) >= 43
            and body["mechanisms"][0] == "SCRAM-SHA-256"
        )
        assert body["authcid"] == (authcid or body["authcid"]) and body["authcid"]
        sealed = await pool.fetchval("SELECT sealed_secret FROM credentials WHERE authcid = $1", body["authcid"])
        assert body["secret"].encode() not in sealed
    queue = (await api.operator.get(f"/v1/domains/{domain['id']}/queue")).json()
    assert queue == {"domain": domain["name"], "messages": {}, "bytes": {}, "oldest_received_at": None}


async def test_the_queue_counts_by_state(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    acceptor = Acceptor(pool)
    acceptor.start()
    for _ in range(3):
        await acceptor.accept(customer.message(b"12345\r\n", recipients=2))
    await acceptor.close()
    await pool.execute("UPDATE recipients SET state = 'held' WHERE id = (SELECT min(id::text)::uuid FROM recipients)")
    queue = (await api.operator.get("/v1/domains/demo.example/queue")).json()
    assert queue["messages"] == {"queued": 5, "held": 1} and queue["bytes"] == {"queued": 35, "held": 7}
    assert queue["oldest_received_at"] is not None


async def test_lists_go_on_by_cursor(api: Api) -> None:
    made = [await _customer(api, str(i)) for i in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        page = (
            await api.operator.get("/v1/customers", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        ).json()
        seen += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
        if cursor is None:
            break
    assert seen == made[::-1]


PROBLEMS: list[tuple[str, str, object, int, str]] = [
    ("GET", "/v1/customers/cus_00000000000000000000000000", None, 404, "not_found"),
    ("GET", "/v1/customers/nonsense", None, 404, "not_found"),
    ("GET", "/v1/customers/ext:nobody", None, 404, "not_found"),
    ("GET", "/v1/domains/nowhere.example", None, 404, "not_found"),
    ("GET", "/v1/domains/..%2f/queue", None, 404, "not_found"),
    ("GET", "/v1/nothing", None, 404, "not_found"),
    ("DELETE", "/v1/customers", None, 405, "method_not_allowed"),
    ("GET", "/v1/customers?limit=0", None, 422, "validation_failed"),
    ("GET", "/v1/customers?cursor=x", None, 422, "validation_failed"),
    ("POST", "/v1/customers", {}, 422, "validation_failed"),
    ("POST", "/v1/customers", {"name": "x", "surprise": 1}, 422, "validation_failed"),
    ("POST", "/v1/customers", {"name": "a\0b"}, 422, "validation_failed"),
    ("POST", "/v1/domains", {"customer_id": "ext:x-taken", "name": "not a domain"}, 422, "validation_failed"),
    ("POST", "/v1/domains", {"customer_id": "ext:nobody", "name": "a.example"}, 404, "not_found"),
    ("POST", "/v1/domains", {"customer_id": "ext:x-taken", "name": "taken.example"}, 409, "conflict"),
    ("POST", "/v1/customers", {"name": "x", "external_id": "x-taken"}, 409, "conflict"),
    ("POST", "/v1/credentials", {"customer_id": "ext:x-taken", "authcid": "taken"}, 409, "conflict"),
    ("POST", "/v1/credentials", {"customer_id": "ext:x-taken", "authcid": "no spaces"}, 422, "validation_failed"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), PROBLEMS)
async def test_every_error_is_a_problem(api: Api, method: str, path: str, body: object, status: int, code: str) -> None:
    await _customer(api, "taken")
    await api.operator.post("/v1/domains", json={"customer_id": "ext:x-taken", "name": "taken.example"})
    await api.operator.post("/v1/credentials", json={"customer_id": "ext:x-taken", "authcid": "taken"})
    answer = await api.operator.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert code in CODES and CODES[code][0] == status
    assert status != 405 or answer.headers["allow"] == "GET, POST"


async def test_a_body_that_cannot_be_read_is_a_bad_request(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api.operator.post("/v1/customers", content=b'{"name": "\xff"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    answer = await api.operator.post("/v1/customers", content=b'{"name": ', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


def test_every_code_is_shown_by_a_test_of_this_folder() -> None:
    elsewhere = {"unauthorized", "scope_missing", "unavailable", "bad_request"}
    elsewhere |= {
        "invalid_value",
        "precondition_failed",
        "limit_reached",
        "idempotency_key_reused",
        "idempotency_in_progress",
        "rate_limited",
    }
    others = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert all(others.count(f'"{code}"') > 1 for code in elsewhere)
    assert {code for *_, code in PROBLEMS} | elsewhere == set(CODES)


async def test_who_has_no_key_gets_401(api: Api) -> None:
    for path in ("/v1/whoami", "/v1/customers", "/v1/domains/demo.example/queue"):
        answer = await api.stranger.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert (await api.stranger.get("/v1/whoami", headers={"Authorization": "Bearer wrong"})).status_code == 401
    assert (await api.stranger.get("/openapi.json")).status_code == 200


async def test_each_key_sees_its_own(api: Api) -> None:
    reseller_id = CustomerId(from_public_id("cus", await _customer(api, "reseller")))
    other = await _customer(api, "other")
    await api.operator.post("/v1/domains", json={"customer_id": other, "name": "other.example"})
    everything = frozenset({"*"})
    reseller = await api.client(Principal(Role.RESELLER, reseller_id, everything))
    mine = (await reseller.post("/v1/customers", json={"name": "mine"})).json()["id"]
    assert {one["name"] for one in (await reseller.get("/v1/customers")).json()["data"]} == {"mine", "reseller"}
    customer = await api.client(Principal(Role.CUSTOMER, CustomerId(from_public_id("cus", mine)), everything))
    assert [one["name"] for one in (await customer.get("/v1/customers")).json()["data"]] == ["mine"]
    for client in (reseller, customer):
        for method, path, body in (
            ("GET", f"/v1/customers/{other}", None),
            ("GET", "/v1/customers/ext:x-other", None),
            ("GET", "/v1/domains/other.example", None),
            ("GET", "/v1/domains/other.example/queue", None),
            ("POST", "/v1/domains", {"customer_id": other, "name": "grab.example"}),
            ("POST", "/v1/credentials", {"customer_id": other}),
        ):
            assert (await client.request(method, path, json=body)).status_code == 404, (method, path)
    assert (await customer.post("/v1/customers", json={"name": "x"})).json()["code"] == "scope_missing"


async def test_a_key_needs_the_scope(api: Api) -> None:
    reader = await api.client(Principal(Role.OPERATOR, None, frozenset({"customers:read"})))
    assert (await reader.get("/v1/customers")).status_code == 200
    for method, path, body in (
        ("POST", "/v1/customers", {"name": "x"}),
        ("GET", "/v1/domains", None),
        ("POST", "/v1/credentials", {"customer_id": "x"}),
    ):
        answer = await reader.request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert (await reader.get("/v1/whoami")).json()["scopes"] == ["customers:read"]


@pytest.mark.fresh_database
async def test_a_fault_of_ours_is_503_and_says_nothing(api: Api, pool: Pool) -> None:
    await pool.execute("ALTER TABLE customers RENAME TO gone")
    answer = await api.operator.get("/v1/customers")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "customers" not in answer.text and answer.headers["retry-after"] == "5"
