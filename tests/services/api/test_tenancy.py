"""T14: every operation on another tenant's object answers as if there were none. No operation is left out: they are read from
the API's own description."""

import re
from typing import Any

import pytest

from shared.clock import Clock
from shared.domain.access import Principal, Role
from shared.domain.names import CustomerId, SessionId, from_public_id, public_id
from shared.storage.accept import Acceptor
from shared.storage.engine import Pool
from shared.storage.sessions import Sessions, TurnedSession
from tests.services.api.conftest import Api, make_customer
from tests.storage.seeding import seed

#: What no tenant may see.
OPERATORS_ALONE = "/v1/diagnostics"
EVERYTHING = frozenset({"*"})
#: A body that fits, where one is asked for; what has none is sent {}.
BODIES: dict[str, dict[str, Any]] = {
    "suspend_customer": {"reason": "x"},
    "terminate_customer": {"dry_run": True},
    "upsert_customer": {"name": "x"},
    "set_recipients": {"local_parts": []},
    "redeliver": {"since": "2026-01-01T00:00:00Z"},
    **{f"{verb}_queue": {"reason": "x"} for verb in ("hold", "release", "retry", "bounce", "purge")},
    **{f"{verb}_message": {"reason": "x"} for verb in ("hold", "release", "retry", "bounce", "delete")},
}
#: Whom a body or a list names; `{}` stands for the other tenant's customer.
NAMED: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/v1/domains", {"customer_id": "{}", "name": "grab.example"}),
    ("POST", "/v1/credentials", {"customer_id": "{}"}),
    ("POST", "/v1/api_keys", {"name": "x", "role": "customer", "customer_id": "{}", "scopes": ["*"]}),
    ("POST", "/v1/usage/adjustments",
     {"customer_id": "{}", "meter": "bytes_received", "at": "2026-01-01T00:00:00Z", "amount": 1, "reason": "x"}),
    *(("GET", f"/v1/{noun}?customer_id={{}}", None)
      for noun in ("domains", "credentials", "messages", "sessions", "usage", "usage/adjustments", "events")),
]  # fmt: skip


async def _others(api: Api, database_url: str, pool: Pool) -> dict[str, str]:
    """One of everything that belongs to a tenant of another reseller: path parameter -> id."""
    other = await seed(database_url, "other.example")
    acceptor = Acceptor(pool)
    acceptor.start()
    message = other.message()
    await acceptor.accept(message)
    await acceptor.close()
    session = SessionId(Clock().new_id())
    turned = TurnedSession(
        session, other.customer_id, other.credential_id, "192.0.2.1", True, "PLAIN", ("other.example",)
    )
    await Sessions(pool).turned(turned)
    owner = await api.client(Principal(Role.RESELLER, other.customer_id, EVERYTHING))
    plan = (await owner.post("/v1/plans", json={"name": "theirs"})).json()["id"]
    key = (await owner.get("/v1/api_keys")).json()["data"][0]["id"]
    hook = (await owner.post("/v1/webhook_endpoints", json={"url": "https://hook.example.org/"})).json()["id"]
    event = (await owner.get("/v1/events")).json()["data"][0]["id"]
    return {
        "event_id": event, "customer_id": public_id("cus", other.customer_id), "domain_id": public_id("dom", other.domain_id),
        "credential_id": public_id("cred", other.credential_id), "message_id": public_id("msg", message.id),
        "session_id": public_id("sess", session), "plan_id": plan, "key_id": key, "endpoint_id": hook,
    }  # fmt: skip


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.RESELLER])
async def test_t14_another_tenants_object_is_as_none(api: Api, database_url: str, pool: Pool, role: Role) -> None:
    others = await _others(api, database_url, pool)
    mine = CustomerId(from_public_id("cus", await make_customer(api, "mine")))
    client = await api.client(Principal(role, mine, EVERYTHING))
    paths = (await client.get("/openapi.json")).json()["paths"]
    operations = [
        (verb.upper(), path, one["operationId"]) for path, verbs in paths.items() for verb, one in verbs.items()
    ]
    tried = 0
    for verb, path, name in operations:
        for parameter in re.findall(r"\{(\w+)\}", path):
            answers: list[tuple[Any, ...]] = []
            for known in (others[parameter], f"{others[parameter].partition('_')[0]}_{'0' * 26}"):
                known = (
                    f"ext:{'other.example' if known == others[parameter] else 'nobody'}"
                    if name == "upsert_customer"
                    else known
                )
                body = BODIES.get(name, {}) if verb != "GET" else None
                answer = await client.request(verb, path.replace(f"{{{parameter}}}", known), json=body)
                problem = answer.json() if answer.content else {}
                answers.append((answer.status_code, problem.get("code"), problem.get("detail")))
            if name == "upsert_customer" and role is Role.RESELLER:  # the name is taken, and that much is told
                assert answers[0][:2] == (409, "conflict")
                continue
            assert answers[0] == answers[1] and answers[0][0] in (403, 404), (verb, path, answers)
            tried += 1
    assert tried > 30
    for verb, path, body in NAMED:
        named: list[tuple[Any, ...]] = []
        for known in (others["customer_id"], "cus_" + "0" * 26):
            sent = {**body, "customer_id": known} if body else None
            answer = await client.request(verb, path.replace("{}", known), json=sent)
            named.append((answer.status_code, answer.json().get("code")))
        assert named[0] == named[1] and named[0][0] in (403, 404), (verb, path, named)


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.RESELLER])
async def test_t14_no_list_shows_another_tenants(api: Api, database_url: str, pool: Pool, role: Role) -> None:
    others = await _others(api, database_url, pool)
    mine = CustomerId(from_public_id("cus", await make_customer(api, "mine")))
    client = await api.client(Principal(role, mine, EVERYTHING))
    paths = (await client.get("/openapi.json")).json()["paths"]
    lists = [
        path for path, verbs in paths.items() if "get" in verbs and "{" not in path and not path.endswith("stream")
    ]
    assert len(lists) > 12
    for path in lists:
        answer = await client.get(path, params={"period": "2026-11"} if path.endswith("summary") else {})
        assert answer.status_code == (404 if path == OPERATORS_ALONE else 200), (path, answer.text)
        assert not [known for known in others.values() if known in answer.text], path
