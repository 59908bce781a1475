"""A service whose own clock jumps: leases, ages and expiry go by the database's clock and by time that never goes back. X1."""

from datetime import datetime, timedelta

import pytest

from services.odmr.keeper import Keeper
from services.outbound.notifier import Notifier
from shared.clock import Clock
from shared.domain.lease import LeaseTerms
from shared.storage.engine import Pool
from shared.storage.spool import Spool
from shared.storage.sweeps import EXPIRY, RESCUER, Sweeper
from tests.storage.seeding import seed
from tests.storage.test_notices import accept, fail

JUMPS = [timedelta(hours=1), timedelta(hours=-1), timedelta(days=5), timedelta(days=-5)]


class Jumped(Clock):
    """A wall clock that is wrong; time that never goes back is not."""

    def __init__(self, by: timedelta) -> None:
        super().__init__()
        self._by = by

    def now(self) -> datetime:
        return super().now() + self._by


@pytest.mark.parametrize("by", JUMPS, ids=str)
async def test_x1_a_jump_ends_no_lease_and_makes_no_mail_old(database_url: str, pool: Pool, by: timedelta) -> None:
    customer, spool, clock = await seed(database_url), Spool(pool), Jumped(by)
    await accept(pool, customer.message())
    lease = customer.lease()
    await spool.open_lease(lease, timedelta(seconds=30))
    keeper = Keeper(spool, lease, customer.credential_id, (customer.domain,), LeaseTerms(), clock, on_lost=lambda: None)
    await keeper.start()
    [row] = await spool.lease(lease, [customer.domain], 10, with_back_off=True)
    assert timedelta(0) <= row.age < timedelta(minutes=1)
    assert keeper.is_trusted and await Sweeper(pool).run(RESCUER) == 0 and await Sweeper(pool).run(EXPIRY) == 0
    await keeper.close()


@pytest.mark.parametrize("by", JUMPS, ids=str)
async def test_x1_a_notice_is_made_whatever_the_date_in_it(database_url: str, pool: Pool, by: timedelta) -> None:
    customer = await seed(database_url)
    await accept(pool, customer.message())
    await fail(pool)
    assert await Notifier(pool, Jumped(by), "mx.example", 600, 50).tell() == 1
    due = await pool.fetchval("SELECT count(*) FROM recipients WHERE state = 'queued' AND next_at <= now()")
    assert due == 1
