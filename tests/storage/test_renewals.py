"""Leases that are renewed at once: one statement, and an answer to each that is its own."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.storage.engine import Pool
from shared.storage.renewals import Renewals
from shared.storage.spool import Lease, Spool
from tests.storage.seeding import Seed, seed

TIME = timedelta(seconds=30)


class Counting:
    """The pool, and how often it was asked."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.asked = 0

    async def fetch(self, *words: Any) -> Any:
        self.asked += 1
        return await self._pool.fetch(*words)


@pytest.fixture
async def customer(database_url: str) -> Seed:
    return await seed(database_url)


async def _opened(pool: Pool, customer: Seed, count: int) -> list[Lease]:
    leases = [customer.lease() for _ in range(count)]
    for lease in leases:
        assert await Spool(pool).open_lease(lease, TIME, count + 1)
    return leases


async def test_many_at_once_are_one_statement_and_none_answers_for_another(pool: Pool, customer: Seed) -> None:
    leases = await _opened(pool, customer, 40)
    await pool.execute("UPDATE leases SET is_ended = true WHERE id = $1", leases[7].id)
    await pool.execute("UPDATE leases SET leased_until = now() - interval '1 second' WHERE id = $1", leases[8].id)
    counting = Counting(pool)
    renewals = Renewals(counting)  # type: ignore[arg-type]
    answers = await asyncio.gather(*(renewals.renew(lease.id, 60.0, customer.credential_id) for lease in leases))
    assert counting.asked == 1
    assert [answer for answer in answers if answer] == [frozenset({customer.domain})] * 38
    assert answers[7] is None and answers[8] is None
    left = await pool.fetchval("SELECT count(*) FROM leases WHERE leased_until > now() + interval '45 seconds'")
    assert left == 38
    assert await renewals.renew(leases[0].id, 60.0, customer.credential_id) and counting.asked == 2


async def test_a_customer_without_a_domain_has_lost_its_lease(pool: Pool, customer: Seed) -> None:
    [lease] = await _opened(pool, customer, 1)
    await pool.execute("DELETE FROM domains")
    assert await Renewals(pool).renew(lease.id, 60.0, customer.credential_id) is None


@pytest.mark.fresh_database
async def test_an_error_is_told_to_each_and_the_next_are_asked_again(pool: Pool, customer: Seed) -> None:
    leases = await _opened(pool, customer, 3)
    renewals = Renewals(pool)
    await pool.execute("ALTER TABLE leases RENAME TO gone")
    try:
        asked = (renewals.renew(lease.id, 60.0, customer.credential_id) for lease in leases)
        answers = await asyncio.gather(*asked, return_exceptions=True)
    finally:
        await pool.execute("ALTER TABLE gone RENAME TO leases")
    assert all(isinstance(answer, Exception) for answer in answers) and len(answers) == 3
    assert await renewals.renew(leases[0].id, 60.0, customer.credential_id) == frozenset({customer.domain})
