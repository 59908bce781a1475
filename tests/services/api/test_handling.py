"""What an operator does with messages, notices of our own, and usage."""

import pytest

from services.outbound.notifier import Notifier
from shared.domain.access import Principal, Role
from shared.domain.lease import LEASE_TIME
from shared.domain.names import public_id
from shared.storage.engine import Pool
from shared.storage.handling import BATCH
from shared.storage.sessions import Sessions, TurnedSession
from shared.storage.spool import LeaseLost, Spool
from shared.storage.sweeps import RELEASE, ROLL_UP, Sweeper
from tests.services.api.conftest import Api
from tests.storage.seeding import CLOCK, seed
from tests.storage.test_notices import accept, fail

HANDLED = [
    ("hold", {"queued": "held", "leased": "held", "held": "held"}),
    ("release", {"held": "queued"}),
    ("retry", {"queued": "queued"}),
    ("bounce", {"queued": "failed", "held": "failed"}),
    ("delete", {"queued": "deleted", "held": "deleted"}),
]


@pytest.mark.parametrize(("verb", "moves"), HANDLED)
async def test_what_an_operator_does_with_a_message(
    api: Api, database_url: str, pool: Pool, verb: str, moves: dict[str, str]
) -> None:
    """From each state: what moves on moves on, with a reason in its timeline; what is over or on its way stays."""
    customer = await seed(database_url)
    lease = customer.lease()
    for state in ("queued", "leased", "held", "delivered", "failed", "expired", "deleted"):
        message = customer.message(recipients=2)
        await accept(pool, message)
        is_over = state in ("delivered", "failed", "expired", "deleted")
        await pool.execute(
            "UPDATE recipients SET state = $1, lease_id = $2, settled_at = $3, next_at = now() + interval '1 hour' WHERE message_id = $4",
            state, lease.id if state == "leased" else None, CLOCK.now() if is_over else None, message.id,
        )  # fmt: skip
        path = f"/v1/messages/{public_id('msg', message.id)}"
        answer = await api.operator.post(f"{path}/{verb}", json={"reason": "because"})
        assert (answer.status_code, answer.json()) == (200, {"recipients": 2 if state in moves else 0}), (verb, state)
        shown = (await api.operator.get(path)).json()
        assert {one["state"] for one in shown["recipients"]} == {moves.get(state, state)}
        told = [moment for moment in shown["timeline"] if moment["type"] != "message.received"]
        assert len(told) == (2 if state in moves else 0) and all("because" in moment["detail"] for moment in told)
    assert await pool.fetchval("SELECT count(*) FROM recipients WHERE state = 'failed' AND is_dsn_due") == (
        4 if verb == "bounce" else 0
    )
    if verb in ("release", "retry"):
        assert await pool.fetchval("SELECT count(*) FROM recipients WHERE state = 'queued' AND next_at > now()") == (
            2 if verb == "release" else 0
        )


async def test_a_message_is_handled_by_who_may_see_it(api: Api, database_url: str, pool: Pool) -> None:
    customer, stranger = await seed(database_url), await seed(database_url, "stranger.example")
    message = customer.message()
    await accept(pool, message)
    path = f"/v1/messages/{public_id('msg', message.id)}"
    own = await api.client(
        Principal(Role.CUSTOMER, customer.customer_id, frozenset({"messages:read", "messages:write"}))
    )
    reads = await api.client(Principal(Role.CUSTOMER, customer.customer_id, frozenset({"messages:read"})))
    foreign = await api.client(Principal(Role.CUSTOMER, stranger.customer_id, frozenset({"*"})))
    assert (await foreign.post(f"{path}/delete", json={"reason": "x"})).status_code == 404
    assert (await reads.post(f"{path}/delete", json={"reason": "x"})).json()["code"] == "scope_missing"
    for wrong in (
        {},
        {"reason": ""},
        {"reason": "a\r\nb"},
        {"reason": "x", "seconds": 0},
        {"reason": "x", "seconds": 99999999},
    ):
        assert (await own.post(f"{path}/hold", json=wrong)).json()["code"] == "validation_failed"
    assert (await own.post(f"{path}/hold", json={"reason": "x", "seconds": 1})).json() == {"recipients": 1}
    await pool.execute("UPDATE recipients SET held_until = now()")
    assert await Sweeper(pool).run(RELEASE) == 1
    assert await pool.fetchval("SELECT state FROM recipients") == "queued"


async def test_usage_is_summed_before_and_after_the_roll_up(api: Api, database_url: str, pool: Pool) -> None:
    customer, other = await seed(database_url), await seed(database_url, "other.example")
    await accept(pool, customer.message(recipients=2), other.message())
    own = await api.client(Principal(Role.CUSTOMER, customer.customer_id, frozenset({"usage:read"})))
    owner = public_id("cus", customer.customer_id)
    size = customer.message().size
    wanted = [("demo.example", "bytes_received", 2 * size), ("demo.example", "messages_received", 2)]
    for _ in range(2):
        rows = (await own.get("/v1/usage")).json()["data"]
        assert [(row["domain"], row["meter"], row["amount"]) for row in rows] == wanted
        assert {row["customer_id"] for row in rows} == {owner}
        await Sweeper(pool).run(ROLL_UP)
    assert (await own.get("/v1/usage", params={"until": "2020-01-01T00:00:00Z"})).json()["data"] == []
    assert len((await api.operator.get("/v1/usage", params={"since": "2020-01-01T00:00:00Z"})).json()["data"]) == 4
    assert (await own.get("/v1/usage", params={"customer_id": public_id("cus", other.customer_id)})).status_code == 404


async def test_our_own_mail_is_the_operators_to_see(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    await accept(pool, customer.message())
    await fail(pool)
    await Notifier(pool, CLOCK, "mx.example", 600, 50).tell()
    [dsn] = (await api.operator.get("/v1/messages", params={"domain": "remote.example"})).json()["data"]
    assert dsn["reverse_path"] == "" and dsn["recipients"][0]["forward_path"] == "a@remote.example"
    own = await api.client(Principal(Role.CUSTOMER, customer.customer_id, frozenset({"*"})))
    assert (await own.get(f"/v1/messages/{dsn['id']}")).status_code == 404
    assert (await own.get("/v1/messages", params={"domain": "remote.example"})).json()["data"] == []


async def test_a_whole_queue_is_handled_and_counted_exactly(api: Api, database_url: str, pool: Pool) -> None:
    customer, other = await seed(database_url), await seed(database_url, "other.example")
    size = customer.message().size
    await accept(pool, *(customer.message() for _ in range(5)), other.message())
    path = "/v1/domains/demo.example/queue"

    async def does(what: str, **body: object) -> tuple[int, int]:
        answer = await api.operator.post(f"{path}/{what}", json={"reason": "moved", **body})
        assert answer.status_code == 200, answer.text
        return answer.json()["recipients"], answer.json()["bytes"]

    assert await does("hold", dry_run=True) == (5, 5 * size)
    assert (await api.operator.get(path)).json()["messages"] == {"queued": 5}
    assert await does("hold", seconds=60) == (5, 5 * size) and await does("hold") == (0, 0)
    assert (await api.operator.get(path)).json()["messages"] == {"held": 5}
    assert await does("release") == (5, 5 * size) and await does("retry") == (0, 0)
    await pool.execute("UPDATE recipients SET next_at = now() + interval '1 hour' WHERE domain = 'demo.example'")
    assert await does("retry", dry_run=True) == await does("retry") == (5, 5 * size)
    first = await pool.fetchval("SELECT message_id FROM recipients WHERE domain = 'demo.example' LIMIT 1")
    await api.operator.post(f"/v1/messages/{public_id('msg', first)}/delete", json={"reason": "x"})
    assert await does("bounce", dry_run=True) == await does("bounce") == (4, 4 * size)
    assert await does("purge") == (0, 0)
    assert (await api.operator.get("/v1/domains/other.example/queue")).json()["messages"] == {"queued": 1}
    answer = await api.operator.post("/v1/domains/other.example/queue/purge", json={"reason": "x"})
    assert answer.json() == {"recipients": 1, "bytes": other.message().size, "dry_run": False}
    for wrong in ({}, {"reason": ""}, {"reason": "x", "dry_run": "yes"}):
        assert (await api.operator.post(f"{path}/hold", json=wrong)).json()["code"] == "validation_failed"


async def test_more_than_a_batch_is_handled_to_the_last(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    await pool.execute(
        "INSERT INTO recipients (id, message_id, customer_id, domain_id, domain, forward_path, size, received_at, next_at) "
        "SELECT gen_random_uuid(), gen_random_uuid(), $1, $2, 'demo.example', 'u@demo.example', 2, now(), now() "
        "FROM generate_series(1, $3)",
        customer.customer_id, customer.domain_id, 2 * BATCH + 5,
    )  # fmt: skip
    answer = await api.operator.post("/v1/domains/demo.example/queue/purge", json={"reason": "spam"})
    assert answer.json() == {"recipients": 2 * BATCH + 5, "bytes": 4 * BATCH + 10, "dry_run": False}


async def test_the_content_is_read_by_whom_the_scope_allows(api: Api, database_url: str, pool: Pool) -> None:
    customer, other = await seed(database_url), await seed(database_url, "other.example")
    message = customer.message(b"Subject: x\r\n\r\n.dots and \xff\r\n")
    await accept(pool, message)
    path = f"/v1/messages/{public_id('msg', message.id)}/raw"
    reads = await api.client(Principal(Role.CUSTOMER, customer.customer_id, frozenset({"messages:read"})))
    may = await api.client(Principal(Role.CUSTOMER, customer.customer_id, frozenset({"messages:content"})))
    foreign = await api.client(Principal(Role.CUSTOMER, other.customer_id, frozenset({"*"})))
    answer = await may.get(path)
    assert answer.headers["content-type"] == "message/rfc822" and answer.content == message.content
    assert (await reads.get(path)).json()["code"] == "scope_missing" and (await foreign.get(path)).status_code == 404


async def test_a_session_is_disconnected(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    lease, spool = customer.lease(), Spool(pool)
    await spool.open_lease(lease, LEASE_TIME)
    turned = TurnedSession(lease.session_id, customer.customer_id, customer.credential_id, "::1", True, "PLAIN", ("x",))
    await Sessions(pool).turned(turned)
    assert await spool.renew(lease, LEASE_TIME, customer.credential_id)
    path = f"/v1/sessions/{public_id('sess', lease.session_id)}/disconnect"
    for _ in range(2):
        assert (await api.operator.post(path)).status_code == 200
    with pytest.raises(LeaseLost):
        await spool.renew(lease, LEASE_TIME, customer.credential_id)
