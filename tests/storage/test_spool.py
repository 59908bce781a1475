"""Lease, settle, release, rescue, on a real PostgreSQL."""

import asyncio
from datetime import timedelta

import pytest

from shared.domain.disposition import Deferred, Delivered, Disposition, Failed, Held, Uncertain
from shared.storage.accept import Acceptor
from shared.storage.engine import Pool
from shared.storage.spool import LeaseLost, Spool
from shared.storage.sweeps import EXPIRY, ORPHANS, REAPER, RESCUER, ROLL_UP, Sweeper
from shared.storage.uploads import Uploads
from tests.storage.seeding import Seed, seed

TIME = timedelta(seconds=30)


async def fill(pool: Pool, customer: Seed, count: int, *, recipients: int = 1) -> None:
    acceptor = Acceptor(pool)
    acceptor.start()
    for _ in range(count):
        await acceptor.accept(customer.message(recipients=recipients))
    await acceptor.close()


async def states(pool: Pool) -> list[str]:
    return [row["state"] for row in await pool.fetch("SELECT state FROM recipients ORDER BY id")]


async def test_r61_rows_come_in_order_and_once(database_url: str, pool: Pool) -> None:
    customer, spool = await seed(database_url), Spool(pool)
    await fill(pool, customer, 30)
    first, second = customer.lease(), customer.lease()
    await spool.open_lease(first, TIME)
    await spool.open_lease(second, TIME)
    a = await spool.lease(first, [customer.domain], 10, with_back_off=True)
    b = await spool.lease(second, [customer.domain], 10, with_back_off=True)
    c = await spool.lease(first, [customer.domain], 64, with_back_off=True)
    ids = [row.id for row in [*a, *b, *c]]
    assert ids == sorted(ids) and len(set(ids)) == 30
    assert await spool.lease(first, [customer.domain], 64, with_back_off=True) == []


async def test_who_is_not_known_is_remembered_where_the_domain_wants_that(database_url: str, pool: Pool) -> None:
    """Only what RFC 3463 says of the address itself, and for good."""
    customer, spool = await seed(database_url), Spool(pool)
    replies = ("550 5.1.1 no such user", "550 5.7.1 we do not like it", "550 no code", "553 5.1.3 bad syntax")
    for seconds, learned in ((0, 0), (60, 2)):
        await pool.execute("UPDATE domains SET learn_refusals_seconds = $1", seconds)
        await fill(pool, customer, 5)
        lease = customer.lease()
        await spool.open_lease(lease, TIME)
        rows = await spool.lease(lease, [customer.domain], 5, with_back_off=True)
        for i, row in enumerate(rows):
            await pool.execute("UPDATE recipients SET forward_path = $2 WHERE id = $1", row.id, f"U{i}@demo.example")
        dispositions: list[Disposition] = [Failed(reply) for reply in replies]
        dispositions.append(Deferred("550 5.1.1 no such user", TIME))
        await spool.settle(lease, list(zip((row.id for row in rows), dispositions, strict=True)))
        known = await pool.fetch(
            "SELECT local_part, reply, until > now() AS lasts FROM refused_recipients ORDER BY local_part"
        )
        assert len(known) == learned
    assert [tuple(row) for row in known] == [("u0", replies[0], True), ("u3", replies[3], True)]


async def test_a_domain_with_a_higher_priority_goes_first(database_url: str, pool: Pool) -> None:
    """From the next batch after a renewal; each domain's own mail stays in order."""
    customer, spool = await seed(database_url), Spool(pool)
    await fill(pool, customer, 9)
    names = ["demo.example", "a.example", "b.example"]
    ids = [row["id"] for row in await pool.fetch("SELECT id FROM recipients ORDER BY next_at, id")]
    for name, priority in (("a.example", 9), ("b.example", 0)):
        domain = await pool.fetchval(
            "INSERT INTO domains (id, customer_id, name, priority) VALUES (gen_random_uuid(), $1, $2, $3) RETURNING id",
            customer.customer_id, name, priority,
        )  # fmt: skip
        of = ids[names.index(name) :: 3]
        await pool.execute("UPDATE recipients SET domain = $1, domain_id = $2 WHERE id = ANY($3)", name, domain, of)
    lease = customer.lease()
    await spool.open_lease(lease, TIME)

    async def next_two() -> list[tuple[int, str]]:
        rows = await spool.lease(lease, names, 2, with_back_off=True)
        return [(ids.index(row.id), row.domain) for row in rows]

    assert await next_two() == [(1, "a.example"), (4, "a.example")]
    assert await next_two() == [(7, "a.example")]
    assert await next_two() == [(0, "demo.example"), (2, "b.example")]
    await pool.execute("UPDATE domains SET priority = 3 WHERE name = 'b.example'")
    await spool.renew(lease, TIME, customer.credential_id)
    assert await next_two() == [(5, "b.example"), (8, "b.example")]
    assert await next_two() == [(3, "demo.example"), (6, "demo.example")]
    assert await next_two() == []


async def test_a_lease_tells_the_domains_policies(database_url: str, pool: Pool) -> None:
    customer, spool = await seed(database_url), Spool(pool)
    await fill(pool, customer, 2)
    lease = customer.lease()
    await spool.open_lease(lease, TIME)
    [first] = await spool.lease(lease, [customer.domain], 1, with_back_off=True)
    assert (first.sends_eight_bit, first.fail_after) == (False, timedelta(hours=4))
    await pool.execute("UPDATE domains SET eight_bit = 'send', fail_after_seconds = 60")
    [second] = await spool.lease(lease, [customer.domain], 1, with_back_off=True)
    assert (second.sends_eight_bit, second.fail_after) == (True, timedelta(minutes=1))


async def test_two_sessions_at_once_share_without_a_duplicate(database_url: str, pool: Pool) -> None:
    """R59."""
    customer, spool = await seed(database_url), Spool(pool)
    await fill(pool, customer, 100)

    async def take_all() -> list[object]:
        lease = customer.lease()
        await spool.open_lease(lease, TIME)
        got: list[object] = []
        while rows := await spool.lease(lease, [customer.domain], 7, with_back_off=True):
            got += [row.id for row in rows]
        return got

    taken = [one for part in await asyncio.gather(*(take_all() for _ in range(4))) for one in part]
    assert len(taken) == len(set(taken)) == 100


async def test_only_the_domains_asked_for(database_url: str, pool: Pool) -> None:
    """R47."""
    one, other, spool = await seed(database_url, "one.example"), await seed(database_url, "other.example"), Spool(pool)
    await fill(pool, one, 2)
    await fill(pool, other, 2)
    lease = one.lease()
    await spool.open_lease(lease, TIME)
    assert await spool.lease(lease, ["other.example"], 64, with_back_off=True) == []
    assert {
        row.domain for row in await spool.lease(lease, ["one.example", "other.example"], 64, with_back_off=True)
    } == {"one.example"}


async def test_each_disposition_has_its_state(database_url: str, pool: Pool) -> None:
    customer, spool = await seed(database_url), Spool(pool)
    await fill(pool, customer, 6)
    lease = customer.lease()
    await spool.open_lease(lease, TIME)
    rows = await spool.lease(lease, [customer.domain], 64, with_back_off=True)
    dispositions: list[Disposition] = [
        Delivered("250 ok"),
        Deferred("451", timedelta(minutes=1)),
        Deferred("cut", timedelta(0)),
        Failed("550"),
        Uncertain("dot"),
        Held("8bit"),
    ]
    changed = await spool.settle(lease, list(zip([row.id for row in rows], dispositions, strict=True)))
    assert len(changed) == 6
    got = await pool.fetch(
        "SELECT state, attempts, is_uncertain, is_dsn_due, lease_id, next_at > now() AS later, last_reply FROM recipients ORDER BY id"
    )
    assert [tuple(row) for row in got] == [
        ("delivered", 1, False, False, None, False, "250 ok"),
        ("queued", 1, False, False, None, True, "451"),
        ("queued", 0, False, False, None, False, "cut"),
        ("failed", 1, False, True, None, False, "550"),
        ("queued", 1, True, False, None, False, "dot"),
        ("held", 1, False, False, None, False, "8bit"),
    ]
    assert await pool.fetchval("SELECT sum(amount) FROM usage WHERE meter = 'messages_delivered'") == 1


async def test_r58_an_explicit_atrn_overrides_back_off_once(database_url: str, pool: Pool) -> None:
    customer, spool = await seed(database_url), Spool(pool)
    await fill(pool, customer, 1)
    for _ in range(2):
        lease = customer.lease()
        await spool.open_lease(lease, TIME)
        rows = await spool.lease(lease, [customer.domain], 64, with_back_off=True)
        assert len(rows) == 1
        await spool.settle(lease, [(rows[0].id, Deferred("451", timedelta(hours=1)))])
        assert await spool.lease(lease, [customer.domain], 64, with_back_off=True) == []  # not again in this session
        await spool.close_lease(lease)
    live = customer.lease()
    await spool.open_lease(live, TIME)
    assert await spool.lease(live, [customer.domain], 64, with_back_off=False) == []


async def test_a_lost_lease_fences_all_but_a_delivery(database_url: str, pool: Pool) -> None:
    """X7: the thawed session may say what is a fact, and nothing else."""
    customer, spool, sweeper = await seed(database_url), Spool(pool), Sweeper(pool)
    await fill(pool, customer, 3)
    frozen = customer.lease()
    await spool.open_lease(frozen, TIME)
    rows = await spool.lease(frozen, [customer.domain], 64, with_back_off=True)
    await pool.execute("UPDATE leases SET leased_until = now() - interval '1 second'")
    assert await sweeper.run(RESCUER) == 3
    second = customer.lease()
    await spool.open_lease(second, TIME)
    again = await spool.lease(second, [customer.domain], 64, with_back_off=True)
    assert [row.id for row in again] == [row.id for row in rows] and not any(row.is_suspect for row in again)
    late = await spool.settle(
        frozen, [(rows[0].id, Failed("550")), (rows[1].id, Deferred("451", TIME)), (rows[2].id, Delivered("250"))]
    )
    assert late == {rows[2].id}
    assert await states(pool) == ["leased", "leased", "delivered"]
    done = await spool.settle(second, [(row.id, Delivered("250")) for row in rows])
    assert done == {rows[0].id, rows[1].id}
    assert await pool.fetchval("SELECT sum(amount) FROM usage WHERE meter = 'messages_delivered'") == 3
    with pytest.raises(LeaseLost):
        await spool.renew(frozen, TIME, customer.credential_id)
    assert await spool.lease(frozen, [customer.domain], 64, with_back_off=True) == []


async def test_nothing_is_settled_twice(database_url: str, pool: Pool) -> None:
    """Whatever is said of a row that is terminal changes nothing, and is not counted."""
    customer, spool = await seed(database_url), Spool(pool)
    await fill(pool, customer, 2)
    lease = customer.lease()
    await spool.open_lease(lease, TIME)
    [first, second] = await spool.lease(lease, [customer.domain], 64, with_back_off=True)
    assert await spool.settle(lease, [(first.id, Delivered("250")), (second.id, Failed("554"))]) == {
        first.id,
        second.id,
    }
    for again in (Delivered("250"), Failed("550"), Uncertain("dot"), Deferred("451", TIME), Held("x")):
        assert await spool.settle(lease, [(first.id, again), (second.id, again)]) == frozenset()
    assert await states(pool) == ["delivered", "failed"]
    assert await pool.fetchval("SELECT sum(amount) FROM usage WHERE meter = 'messages_delivered'") == 1


async def test_a_released_lease_leaves_everything_in_its_place(database_url: str, pool: Pool) -> None:
    """R42, R51: no penalty."""
    customer, spool = await seed(database_url), Spool(pool)
    await fill(pool, customer, 3)
    before = await pool.fetch("SELECT id, state, attempts, next_at FROM recipients ORDER BY id")
    lease = customer.lease()
    await spool.open_lease(lease, TIME)
    await spool.lease(lease, [customer.domain], 64, with_back_off=True)
    assert await spool.held_by_others(customer.lease(), [customer.domain]) is not None
    await spool.close_lease(lease)
    assert await pool.fetch("SELECT id, state, attempts, next_at FROM recipients ORDER BY id") == before
    assert await spool.held_by_others(customer.lease(), [customer.domain]) is None


@pytest.mark.parametrize(
    "statement", ["UPDATE customers SET state = 'suspended'", "UPDATE credentials SET revoked_at = now()"]
)
async def test_a_lease_ends_with_its_customer_or_credential(database_url: str, pool: Pool, statement: str) -> None:
    customer, spool = await seed(database_url), Spool(pool)
    lease = customer.lease()
    await spool.open_lease(lease, TIME)
    assert await spool.renew(lease, TIME, customer.credential_id) == {customer.domain}
    await pool.execute(statement)
    with pytest.raises(LeaseLost):
        await spool.renew(lease, TIME, customer.credential_id)


async def test_what_is_committed_late_is_found(database_url: str, pool: Pool) -> None:
    """A row that appears behind the session's place in the queue is not missed."""
    customer, spool = await seed(database_url), Spool(pool)
    await fill(pool, customer, 5)
    lease = customer.lease()
    await spool.open_lease(lease, TIME)
    await spool.lease(lease, [customer.domain], 64, with_back_off=True)
    await fill(pool, customer, 1)
    await pool.execute("UPDATE recipients SET next_at = now() - interval '1 hour' WHERE state = 'queued'")
    assert len(await spool.lease(lease, [customer.domain], 64, with_back_off=True)) == 1


async def test_the_reaper_takes_what_is_done_and_only_that(database_url: str, pool: Pool) -> None:
    customer, spool, sweeper = await seed(database_url), Spool(pool), Sweeper(pool)
    await fill(pool, customer, 2, recipients=2)
    lease = customer.lease()
    await spool.open_lease(lease, TIME)
    rows = await spool.lease(lease, [customer.domain], 64, with_back_off=True)
    await spool.settle(
        lease,
        [
            (rows[0].id, Delivered("250")),
            (rows[1].id, Delivered("250")),
            (rows[2].id, Delivered("250")),
            (rows[3].id, Failed("550")),
        ],
    )
    assert await sweeper.run(REAPER) == 3
    assert [row["id"] for row in await pool.fetch("SELECT id FROM messages")] == [rows[3].message_id]
    assert await pool.fetchval("SELECT count(*) FROM content") == 1
    assert await states(pool) == ["failed"]


async def test_expiry_keeps_the_content_for_the_dsn(database_url: str, pool: Pool) -> None:
    """R79."""
    customer, sweeper = await seed(database_url), Sweeper(pool)
    await fill(pool, customer, 3)
    ids = [row["id"] for row in await pool.fetch("SELECT id FROM recipients ORDER BY id")]
    await pool.execute("UPDATE recipients SET received_at = now() - interval '15 days' WHERE id = $1", ids[0])
    await pool.execute("UPDATE recipients SET received_at = now() - interval '13 days' WHERE id = $1", ids[1])
    assert await sweeper.run(EXPIRY) == 1
    assert await states(pool) == ["expired", "queued", "queued"]
    assert await sweeper.run(REAPER) == 0
    assert await pool.fetchval("SELECT count(*) FROM content") == 3


async def test_orphans_and_roll_up(database_url: str, pool: Pool) -> None:
    customer, sweeper = await seed(database_url), Sweeper(pool)
    await Uploads(pool).add(customer.message().id, 0, b"x\r\n")
    assert await sweeper.run(ORPHANS) == 0
    await pool.execute("UPDATE uploads SET expires_at = now()")
    assert await sweeper.run(ORPHANS) == 1
    assert await pool.fetchval("SELECT count(*) FROM content") == 0
    await fill(pool, customer, 4)
    before = await pool.fetchval("SELECT sum(amount) FROM usage")
    assert await sweeper.run(ROLL_UP) == 2
    await fill(pool, customer, 4)
    await sweeper.run(ROLL_UP)
    assert await pool.fetchval("SELECT count(*) FROM usage") == 0
    assert await pool.fetchval("SELECT sum(amount) FROM usage_buckets") == 2 * before


async def test_one_replica_sweeps_at_a_time(database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    await fill(pool, customer, 1)
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock($1)", ROLL_UP.lock)
        assert await Sweeper(pool).run(ROLL_UP) == 0
    assert await Sweeper(pool).run(ROLL_UP) == 2
