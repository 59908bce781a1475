"""What stands aside in the queue, or behind a session, gets its turn though mail keeps coming. Decision 16."""

from shared.domain.disposition import MAX_FAULTS, SUSPECT_FROM, Delivered
from shared.domain.names import RecipientId
from shared.storage.engine import Pool
from shared.storage.spool import Spool
from shared.storage.sweeps import RESCUER, Sweeper
from tests.storage.seeding import Seed, seed
from tests.storage.test_spool import TIME, fill, states
from tests.waiting import until


async def _suspect(pool: Pool, customer: Seed, spool: Spool, count: int) -> list[RecipientId]:
    """So many of the customer's rows lose their lease twice, the oldest."""
    lost: list[RecipientId] = []
    for _ in range(SUSPECT_FROM):
        lease = customer.lease()
        await spool.open_lease(lease, TIME)
        lost = [row.id for row in await spool.lease(lease, [customer.domain], count, with_back_off=True)]
        await pool.execute("UPDATE leases SET leased_until = now() - interval '1 second'")
        assert await Sweeper(pool).run(RESCUER) == count
    return lost


async def test_a_suspect_is_leased_alone_and_waits_for_no_pause(database_url: str, pool: Pool) -> None:
    """Decision 16: L8 does not hold for a message that is sent only when nothing else waits."""
    customer, spool = await seed(database_url), Spool(pool)
    await fill(pool, customer, 3)
    suspects = await _suspect(pool, customer, spool, 3)
    await fill(pool, customer, 200)
    lease = customer.lease()
    await spool.open_lease(lease, TIME)
    leased: list[list[RecipientId]] = []

    async def goes_on() -> bool:
        rows = await spool.lease(lease, [customer.domain], 5, with_back_off=True)
        leased.append([row.id for row in rows])
        assert all(row.is_suspect == (row.id in suspects) for row in rows)
        await spool.settle(lease, [(row.id, Delivered("250")) for row in rows])
        await fill(pool, customer, 5)
        return leased[-1] == [suspects[-1]]

    await until(goes_on, 30)
    alone = [rows for rows in leased if rows[0] in suspects]
    assert alone == [[one] for one in suspects]
    first = leased.index(alone[0])
    assert [rows in alone for rows in leased[first : first + 5]] == [True, False, True, False, True]


async def test_what_is_given_back_behind_a_session_that_always_finds_mail_ahead_waits_for_no_pause(
    database_url: str, pool: Pool
) -> None:
    customer, spool = await seed(database_url), Spool(pool)
    await fill(pool, customer, 3)
    other, lease = customer.lease(), customer.lease()
    await spool.open_lease(other, TIME)
    await spool.open_lease(lease, TIME)
    held = [row.id for row in await spool.lease(other, [customer.domain], 3, with_back_off=True)]
    await fill(pool, customer, 5)
    assert len(await spool.lease(lease, [customer.domain], 5, with_back_off=True)) == 5
    await fill(pool, customer, 200)
    await spool.close_lease(other)

    async def has_come() -> bool:
        rows = await spool.lease(lease, [customer.domain], 5, with_back_off=True)
        assert rows
        await fill(pool, customer, 5)
        return [row.id for row in rows][:3] == held

    await until(has_come, 30)


async def test_a_message_that_is_lost_again_and_again_is_held_at_the_fourth_time(database_url: str, pool: Pool) -> None:
    customer, spool = await seed(database_url), Spool(pool)
    await fill(pool, customer, 1)
    for lost in range(MAX_FAULTS + 1):
        assert await states(pool) == ["queued"]
        lease = customer.lease()
        await spool.open_lease(lease, TIME)
        [row] = await spool.lease(lease, [customer.domain], 64, with_back_off=True)
        assert row.is_suspect == (lost >= SUSPECT_FROM)
        await pool.execute("UPDATE leases SET leased_until = now() - interval '1 second'")
        assert await Sweeper(pool).run(RESCUER) == 1
    assert await states(pool) == ["held"]
