"""Customers, domains, credentials, messages, sessions and keys, as a billing system and an operator use them."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from localserve import certificates
from localserve.layout import Layout
from shared.clock import Clock
from shared.domain.access import Principal, Role
from shared.domain.disposition import Deferred, Delivered
from shared.domain.names import CustomerId, from_public_id, public_id
from shared.storage.accept import Acceptor
from shared.storage.engine import Pool
from shared.storage.sessions import Sessions, TurnedSession
from shared.storage.spool import Lease, Spool
from shared.storage.sweeps import REAPER, RESCUER, Sweeper
from tests.services.api.conftest import Api, make_customer
from tests.storage.seeding import Seed, seed


async def test_a_customer_is_changed_suspended_and_resumed(api: Api) -> None:
    """Suspending twice is as once: billing systems repeat their calls."""
    await make_customer(api, "farm")
    path = "/v1/customers/ext:x-farm"
    changed = await api.operator.patch(path, json={"name": "Farm & sons"})
    assert changed.json()["name"] == "Farm & sons" and changed.json()["external_id"] == "x-farm"
    assert (await api.operator.patch(path, json={})).json() == changed.json()
    for _ in range(2):
        answer = await api.operator.post(f"{path}/suspend", json={"reason": "not paid"})
        assert (answer.status_code, answer.json()["state"], answer.json()["suspended_for"]) == (
            200,
            "suspended",
            "not paid",
        )
    for _ in range(2):
        answer = await api.operator.post(f"{path}/resume")
        assert (answer.status_code, answer.json()["state"], answer.json()["suspended_for"]) == (200, "active", "")
    await make_customer(api, "other")
    assert (await api.operator.patch(path, json={"external_id": "x-other"})).json()["code"] == "conflict"


async def test_refusals_that_were_learned_are_shown_and_forgotten(api: Api, pool: Pool) -> None:
    await make_customer(api, "farm")
    await api.operator.post("/v1/domains", json={"customer_id": "ext:x-farm", "name": "farm.example"})
    path = "/v1/domains/farm.example/refused_recipients"
    await pool.execute(
        "INSERT INTO refused_recipients SELECT d.id, part, '550 5.1.1 who?', now() + make_interval(secs => s) "
        "FROM domains d, (VALUES ('a', 60), ('b', 60), ('c', 60), ('old', -1)) AS v(part, s)"
    )
    first = (await api.operator.get(path, params={"limit": 2})).json()
    rest = (await api.operator.get(path, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["local_part"] for one in first["data"] + rest["data"]] == ["a", "b", "c"]
    assert (first["has_more"], rest["has_more"], rest["next_cursor"]) == (True, False, None)
    assert first["data"][0]["reply"] == "550 5.1.1 who?"
    assert (await api.operator.delete(path, params={"local_part": "B"})).status_code == 204
    assert [one["local_part"] for one in (await api.operator.get(path)).json()["data"]] == ["a", "c"]
    assert (await api.operator.delete(path)).status_code == 204
    assert (await api.operator.get(path)).json()["data"] == []


async def test_a_domain_has_policies_and_a_list(api: Api, pool: Pool) -> None:
    await make_customer(api, "farm")
    await api.operator.post("/v1/domains", json={"customer_id": "ext:x-farm", "name": "farm.example"})
    path = "/v1/domains/farm.example"
    assert (await api.operator.get(path)).json()["unknown_recipients"] == "accept"
    changes = {"eight_bit": "send", "unknown_recipients": "reject", "fail_after_seconds": 60}
    changed = (await api.operator.patch(path, json=changes)).json()
    assert {name: changed[name] for name in changes} == changes
    limits = {"retention_days": 5, "max_messages": 10, "max_bytes": 1 << 30}
    more = {"delay_notice_seconds": 14400, "when_refused": "hold", **limits}
    changed = (await api.operator.patch(path, json=more)).json()
    assert {name: changed[name] for name in more} == more
    gone = (await api.operator.patch(path, json={**dict.fromkeys(limits), "when_refused": None})).json()
    assert {gone[name] for name in limits} == {None} and gone["when_refused"] == "hold"
    for wrong in ({"retention_days": 0}, {"retention_days": 61}, {"max_bytes": 0}, {"when_refused": "eat"}):
        assert (await api.operator.patch(path, json=wrong)).json()["code"] == "validation_failed"
    listed = await api.operator.put(f"{path}/recipients", json={"local_parts": ["Zoe", "ann", "zoe"]})
    assert listed.json() == {"local_parts": ["ann", "zoe"]}
    assert (await api.operator.put(f"{path}/recipients", json={"local_parts": ["ann"]})).json() == {
        "local_parts": ["ann"]
    }
    assert (await api.operator.get(f"{path}/recipients")).json() == {"local_parts": ["ann"]}
    for bad in (["a b"], ["a@b"], [""], ["x" * 65]):
        answer = await api.operator.put(f"{path}/recipients", json={"local_parts": bad})
        assert answer.json()["code"] == "validation_failed"
    assert (await api.operator.delete(path)).status_code == 204
    assert (await api.operator.delete(path)).status_code == 404
    assert await pool.fetchval("SELECT count(*) FROM domain_recipients") == 0


async def test_a_domain_with_mail_is_not_removed(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    await _accept(pool, customer)
    answer = await api.operator.delete("/v1/domains/demo.example")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "demo.example" in answer.json()["detail"]
    await pool.execute("UPDATE recipients SET state = 'delivered', settled_at = now()")
    assert (await api.operator.delete("/v1/domains/demo.example")).status_code == 204


async def test_a_credential_is_made_changed_rotated_and_revoked(api: Api) -> None:
    customer_id = await make_customer(api, "farm")
    body = {"customer_id": "ext:x-farm", "mechanisms": ["SCRAM-SHA-256"], "when_empty": "live", "aliases": ["vm"]}
    made = (await api.operator.post("/v1/credentials", json=body)).json()
    assert made["secret"] and made["mechanisms"] == ["SCRAM-SHA-256"] and made["aliases"] == ["vm"]
    path = f"/v1/credentials/{made['id']}"
    shown = (await api.operator.get(path)).json()
    assert "secret" not in shown and shown["customer_id"] == customer_id and shown["when_empty"] == "live"
    changed = (await api.operator.patch(path, json={"when_empty": "refuse"})).json()
    assert (changed["when_empty"], changed["aliases"]) == ("refuse", ["vm"])
    rotated = (await api.operator.post(f"{path}/rotate")).json()
    assert rotated["id"] == made["id"] and rotated["secret"] not in ("", made["secret"])
    listed = (await api.operator.get("/v1/credentials", params={"customer_id": customer_id})).json()["data"]
    assert [one["id"] for one in listed] == [made["id"]]
    assert (await api.operator.delete(path)).status_code == 204
    assert (await api.operator.get(path)).status_code == 404
    assert (await api.operator.get("/v1/credentials")).json()["data"] == []


async def test_a_certificate_makes_a_credential_without_a_secret(api: Api, tmp_path: "object") -> None:
    layout = Layout(tmp_path)  # type: ignore[arg-type]
    layout.prepare()
    _, chain, _ = certificates.prepare(layout, Clock())
    pem = chain.read_text()
    await make_customer(api, "farm")
    body = {"customer_id": "ext:x-farm", "certificate": pem}
    made = (await api.operator.post("/v1/credentials", json=body)).json()
    assert made["secret"] == "" and made["mechanisms"] == ["EXTERNAL"]
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    assert made["certificate_sha256"] == hashlib.sha256(der).hexdigest()
    assert (await api.operator.post("/v1/credentials", json=body)).json()["code"] == "conflict"
    assert (await api.operator.post(f"/v1/credentials/{made['id']}/rotate")).json()["code"] == "conflict"
    for wrong in (
        {"certificate": "nonsense"},
        {"certificate": pem, "mechanisms": ["PLAIN"]},
        {"mechanisms": ["LOGIN"]},
    ):
        answer = await api.operator.post("/v1/credentials", json={"customer_id": "ext:x-farm", **wrong})
        assert answer.json()["code"] in ("validation_failed", "invalid_value"), wrong


async def _accept(pool: Pool, customer: Seed, recipients: int = 1) -> str:
    acceptor = Acceptor(pool)
    acceptor.start()
    message = customer.message(recipients=recipients)
    await acceptor.accept(message)
    await acceptor.close()
    return public_id("msg", message.id)


async def _lease(pool: Pool, customer: Seed) -> tuple[Spool, Lease, list[object]]:
    spool, lease = Spool(pool), customer.lease()
    await spool.open_lease(lease, timedelta(seconds=30))
    return spool, lease, list(await spool.lease(lease, [customer.domain], 10, with_back_off=True))


async def test_a_message_and_its_timeline_also_when_it_has_left_the_spool(
    api: Api, database_url: str, pool: Pool
) -> None:
    customer = await seed(database_url)
    message_id = await _accept(pool, customer, recipients=2)
    spool, lease, rows = await _lease(pool, customer)
    first, second = (row.id for row in rows)  # type: ignore[attr-defined]
    await spool.settle(lease, [(first, Delivered("250 ok")), (second, Deferred("451 later", timedelta(hours=1)))])
    path = f"/v1/messages/{message_id}"
    shown = (await api.operator.get(path)).json()
    assert shown["reverse_path"] == "a@remote.example" and shown["size"] == 20
    assert [(one["forward_path"], one["state"], one["last_reply"]) for one in shown["recipients"]] == [
        ("u0@demo.example", "delivered", "250 ok"),
        ("u1@demo.example", "queued", "451 later"),
    ]
    assert [(one["type"], one["forward_path"], one["detail"]) for one in shown["timeline"]] == [
        ("message.received", "u0@demo.example", ""),
        ("message.received", "u1@demo.example", ""),
        ("message.delivered", "u0@demo.example", "250 ok"),
        ("message.deferred", "u1@demo.example", "451 later"),
    ]
    assert shown["timeline"][2]["session_id"] == public_id("sess", lease.session_id)
    await pool.execute("UPDATE recipients SET state = 'delivered', settled_at = now() WHERE id = $1", second)
    await Sweeper(pool).run(REAPER)
    gone = (await api.operator.get(path)).json()
    assert (gone["reverse_path"], gone["size"], gone["timeline"]) == (None, None, shown["timeline"])
    assert [one["state"] for one in gone["recipients"]] == ["delivered", "queued"]
    assert (await api.operator.get("/v1/messages")).json()["data"] == []


async def test_messages_are_listed_by_what_is_asked(api: Api, database_url: str, pool: Pool) -> None:
    demo, other = await seed(database_url), await seed(database_url, "other.example")
    first, second = await _accept(pool, demo), await _accept(pool, other)
    await pool.execute("UPDATE recipients SET state = 'held' WHERE domain = 'other.example'")

    async def listed(**query: str) -> list[str]:
        return [one["id"] for one in (await api.operator.get("/v1/messages", params=query)).json()["data"]]

    assert await listed() == [second, first]
    assert await listed(domain="demo.example") == await listed(state="queued") == [first]
    assert await listed(customer_id="ext:other.example") == await listed(state="held") == [second]
    assert await listed(reverse_path="a@remote.example") == [second, first] and await listed(reverse_path="") == []
    assert await listed(since="2020-01-01T00:00:00Z") == [second, first]
    assert await listed(since="2100-01-01T00:00:00Z") == []
    page = (await api.operator.get("/v1/messages", params={"limit": 1})).json()
    assert page["has_more"] and await listed(cursor=page["next_cursor"]) == [first]


async def test_sessions_run_and_end(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    spool, lease, _ = await _lease(pool, customer)
    record = TurnedSession(
        lease.session_id,
        customer.customer_id,
        customer.credential_id,
        "192.0.2.1",
        True,
        "PLAIN",
        ("demo.example",),
        True,
    )
    sessions = Sessions(pool)
    await sessions.turned(record)
    running = (await api.operator.get("/v1/sessions", params={"running": True})).json()["data"]
    assert [(one["peer"], one["is_live"], one["ended_at"]) for one in running] == [("192.0.2.1", True, None)]
    await sessions.ended(lease.session_id, 3, 99, "QUIT")
    shown = (await api.operator.get(f"/v1/sessions/{running[0]['id']}")).json()
    assert (shown["sent_messages"], shown["sent_bytes"], shown["why_ended"]) == (3, 99, "QUIT")
    assert (await api.operator.get("/v1/sessions", params={"running": True})).json()["data"] == []
    assert len((await api.operator.get("/v1/sessions", params={"running": False})).json()["data"]) == 1


async def test_a_session_whose_process_died_ends_with_its_lease(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    _, lease, _ = await _lease(pool, customer)
    record = TurnedSession(
        lease.session_id, customer.customer_id, customer.credential_id, "192.0.2.1", True, "PLAIN", ("demo.example",)
    )
    await Sessions(pool).turned(record)
    await pool.execute("UPDATE leases SET leased_until = now() - interval '1 second'")
    await Sweeper(pool).run(RESCUER)
    [shown] = (await api.operator.get("/v1/sessions")).json()["data"]
    assert shown["ended_at"] is not None and shown["why_ended"] == "its lease ran out"


async def test_a_key_gives_no_more_than_it_has(api: Api) -> None:
    reseller_id = CustomerId(from_public_id("cus", await make_customer(api, "reseller")))
    made = await api.operator.post(
        "/v1/api_keys", json={"name": "billing", "role": "operator", "scopes": ["customers:read", "api_keys:write"]}
    )
    key = made.json()["key"]
    assert made.status_code == 201 and key.startswith("odmr_") and key.startswith(made.json()["prefix"])
    narrow = {"Authorization": f"Bearer {key}"}
    assert (await api.stranger.get("/v1/whoami", headers=narrow)).json()["scopes"] == [
        "api_keys:write",
        "customers:read",
    ]
    for scopes, code in ((["*"], 403), (["messages:read"], 403), (["customers:read"], 201)):
        body = {"name": "x", "role": "operator", "scopes": scopes}
        assert (await api.stranger.post("/v1/api_keys", json=body, headers=narrow)).status_code == code
    reseller = await api.client(Principal(Role.RESELLER, reseller_id, frozenset({"*"})))
    own = {"name": "x", "scopes": ["*"], "customer_id": "ext:x-reseller"}
    for role, status in (("operator", 400), ("reseller", 201), ("customer", 201)):
        assert (await reseller.post("/v1/api_keys", json={**own, "role": role})).status_code == status
    operator = {"name": "x", "role": "operator", "scopes": ["customers:read"]}
    assert (await reseller.post("/v1/api_keys", json=operator)).json()["code"] == "scope_missing"
    customer = await api.client(Principal(Role.CUSTOMER, reseller_id, frozenset({"*"})))
    assert (await customer.post("/v1/api_keys", json={**own, "role": "reseller"})).json()["code"] == "scope_missing"
    listed = (await reseller.get("/v1/api_keys")).json()["data"]
    assert {one["customer_id"] for one in listed} == {public_id("cus", reseller_id)}
    assert all("key" not in one for one in listed)
    assert (await reseller.delete(f"/v1/api_keys/{made.json()['id']}")).status_code == 404
    assert (await api.operator.delete(f"/v1/api_keys/{made.json()['id']}")).status_code == 204
    assert (await api.stranger.get("/v1/whoami", headers=narrow)).status_code == 401


READS = ["domains", "credentials", "messages", "sessions"]


async def test_each_key_sees_only_its_own_of_every_noun(api: Api, database_url: str, pool: Pool) -> None:
    """T14: another's object is 404, in a list it is not there, and a message for two customers shows neither the other's."""
    mine, theirs = await seed(database_url, "mine.example"), await seed(database_url, "theirs.example")
    shared_message = mine.message()
    hers = theirs.message().recipients[0]
    acceptor = Acceptor(pool)
    acceptor.start()
    await acceptor.accept(replace(shared_message, recipients=(*shared_message.recipients, hers)))
    await acceptor.close()
    their_message = await _accept(pool, theirs)
    for one in (mine, theirs):
        lease = one.lease()
        await Sessions(pool).turned(
            TurnedSession(
                lease.session_id, one.customer_id, one.credential_id, "192.0.2.1", True, "PLAIN", (one.domain,)
            )
        )
    client = await api.client(Principal(Role.CUSTOMER, mine.customer_id, frozenset({"*"})))
    for noun in READS:
        assert len((await client.get(f"/v1/{noun}")).json()["data"]) == 1, noun
        assert len((await api.operator.get(f"/v1/{noun}")).json()["data"]) == 2, noun
    their_session = await pool.fetchval("SELECT id FROM sessions WHERE customer_id = $1", theirs.customer_id)
    foreign = (
        ("GET", f"/v1/messages/{their_message}"), ("GET", f"/v1/sessions/{public_id('sess', their_session)}"),
        ("GET", f"/v1/credentials/{public_id('cred', theirs.credential_id)}"),
        ("PATCH", f"/v1/credentials/{public_id('cred', theirs.credential_id)}"),
        ("POST", f"/v1/credentials/{public_id('cred', theirs.credential_id)}/rotate"),
        ("DELETE", f"/v1/credentials/{public_id('cred', theirs.credential_id)}"), ("DELETE", "/v1/domains/theirs.example"),
        ("PATCH", "/v1/domains/theirs.example"), ("GET", "/v1/domains/theirs.example/recipients"),
    )  # fmt: skip
    for method, path in foreign:
        answer = await client.request(method, path, json={} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    put = await client.put("/v1/domains/theirs.example/recipients", json={"local_parts": []})
    assert put.status_code == 404
    shown = (await client.get(f"/v1/messages/{public_id('msg', shared_message.id)}")).json()
    assert [one["forward_path"] for one in shown["recipients"]] == ["u0@mine.example"]
    assert {one["forward_path"] for one in shown["timeline"]} == {"u0@mine.example"}
    for query in ("customer_id=ext:theirs.example", "domain=theirs.example"):
        answer = await client.get(f"/v1/messages?{query}")
        assert answer.status_code == 404 or answer.json()["data"] == []
    own = f"/v1/customers/{public_id('cus', mine.customer_id)}"
    for path, body in ((own, {"name": "x"}), (f"{own}/suspend", {"reason": "x"}), (f"{own}/resume", None)):
        method = "PATCH" if path == own else "POST"
        assert (await client.request(method, path, json=body)).json()["code"] == "scope_missing"


@pytest.mark.parametrize("noun", READS)
async def test_every_list_refuses_a_cursor_that_is_none(api: Api, noun: str) -> None:
    assert (await api.operator.get(f"/v1/{noun}?cursor=x")).json()["code"] == "validation_failed"
    assert (await api.operator.get(f"/v1/{noun}/nonsense")).json()["code"] == "not_found"
