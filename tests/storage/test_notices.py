"""Who is told, once; what is not owed; the caps. R79, RELIABILITY T11."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from services.outbound.notifier import Notifier
from shared.domain.dsn import Kind
from shared.domain.message import Message
from shared.storage.accept import Acceptor
from shared.storage.engine import Pool
from shared.storage.notices import SYSTEM_CUSTOMER, one_round
from shared.storage.sweeps import EXPIRY, REAPER, Sweeper
from tests.storage.seeding import CLOCK, Seed, seed


@pytest.fixture
async def customer(database_url: str) -> Seed:
    return await seed(database_url)


async def accept(pool: Pool, *messages: Message) -> None:
    acceptor = Acceptor(pool)
    acceptor.start()
    for message in messages:
        await acceptor.accept(message)
    await acceptor.close()


async def fail(pool: Pool, state: str = "failed") -> None:
    await pool.execute(
        "UPDATE recipients SET state = $1, settled_at = now(), is_dsn_due = true, last_reply = '550 5.1.1 no' "
        "WHERE state = 'queued' AND customer_id <> $2",
        state,
        SYSTEM_CUSTOMER,
    )


def notifier(pool: Pool, *, by_minute: int = 600, by_hour: int = 50) -> Notifier:
    return Notifier(pool, CLOCK, "mx.provider.example", by_minute, by_hour)


async def notices(pool: Pool) -> list[str]:
    """To whom notices wait to be sent."""
    rows = await pool.fetch(
        "SELECT forward_path FROM recipients WHERE customer_id = $1 AND state = 'queued' ORDER BY id", SYSTEM_CUSTOMER
    )
    return [row["forward_path"] for row in rows]


def asks(message: Message, notify: str) -> Message:
    return replace(
        message, recipients=tuple(replace(one, dsn_parameters=f"NOTIFY={notify}") for one in message.recipients)
    )


async def test_one_notice_a_message_and_once(customer: Seed, pool: Pool) -> None:
    """Three recipients of one message fail: one notice names all three; a second round makes none, and the reaper comes after."""
    await accept(pool, customer.message(b"Subject: gone\r\n\r\nbody\r\n", recipients=3))
    await fail(pool)
    assert await Sweeper(pool).run(REAPER) == 0
    assert await notifier(pool).tell() == 3
    assert await notifier(pool).tell() == 0
    assert await notices(pool) == ["a@remote.example"]
    content = await pool.fetchval("SELECT bytes FROM content c JOIN recipients r USING (message_id) WHERE r.customer_id = $1", SYSTEM_CUSTOMER)  # fmt: skip
    assert content.count(b"Final-Recipient: ") == 3 and b"Subject: gone\r\n" in content and b"body" not in content
    assert await Sweeper(pool).run(REAPER) == 3
    assert await pool.fetchval("SELECT count(*) FROM events WHERE type = 'dsn.failed'") == 3


async def test_r79_nobody_is_told_of_what_is_not_owed(customer: Seed, pool: Pool) -> None:
    """None to the null reverse-path, none for NOTIFY=NEVER or SUCCESS alone, none where no server can be found; the rows go all the same."""
    await accept(
        pool,
        customer.message(reverse_path=""),
        asks(customer.message(), "NEVER"),
        asks(customer.message(), "SUCCESS"),
        customer.message(reverse_path="a@localhost"),
    )
    await fail(pool)
    assert await notifier(pool).tell() == 4
    assert await notices(pool) == [] and await Sweeper(pool).run(REAPER) == 4


async def test_a_notice_that_fails_is_told_to_nobody(customer: Seed, pool: Pool) -> None:
    """No bounce of a bounce: our own mail has the null reverse-path."""
    await accept(pool, customer.message())
    await fail(pool)
    await notifier(pool).tell()
    await pool.execute(
        "UPDATE recipients SET state = 'failed', settled_at = now(), is_dsn_due = true WHERE customer_id = $1",
        SYSTEM_CUSTOMER,
    )
    assert await notifier(pool).tell() == 1
    assert await notices(pool) == [] and await Sweeper(pool).run(REAPER) == 2


async def test_r56_relayed_for_who_asked_for_success(customer: Seed, pool: Pool) -> None:
    await accept(pool, asks(customer.message(), "SUCCESS,FAILURE"), asks(customer.message(), "FAILURE"))
    await fail(pool, "delivered")
    assert await notifier(pool).tell() == 2
    assert await notices(pool) == ["a@remote.example"]
    assert await pool.fetchval("SELECT count(*) FROM notices WHERE kind = 'relayed'") == 2


async def test_a_delay_is_told_once_where_the_domain_says_so(customer: Seed, pool: Pool) -> None:
    await accept(pool, customer.message(), asks(customer.message(), "FAILURE"))
    await pool.execute("UPDATE recipients SET received_at = now() - interval '5 hours'")
    assert await notifier(pool).tell() == 0  # off by default
    await pool.execute("UPDATE domains SET delay_notice_seconds = 4 * 3600")
    assert await notifier(pool).tell() == 2
    assert await notifier(pool).tell() == 0
    assert await notices(pool) == ["a@remote.example"]
    assert await pool.fetchval("SELECT count(*) FROM recipients WHERE state = 'queued' AND customer_id <> $1", SYSTEM_CUSTOMER) == 2  # fmt: skip


async def test_expiry_takes_our_own_after_five_days_and_a_customers_by_its_domain(customer: Seed, pool: Pool) -> None:
    """R79: 14 days by default; a domain's retention goes before; what an operator holds until a time waits for that."""
    await accept(pool, customer.message(), customer.message(), customer.message())
    await fail(pool)
    await notifier(pool).tell()
    await accept(pool, customer.message())
    await pool.execute("UPDATE recipients SET received_at = now() - interval '6 days'")
    assert await Sweeper(pool).run(EXPIRY) == 3  # the notices
    await pool.execute("UPDATE domains SET retention_days = 5")
    await pool.execute(
        "UPDATE recipients SET state = 'held', held_until = now() + interval '1 hour' WHERE state = 'queued'"
    )
    assert await Sweeper(pool).run(EXPIRY) == 0
    await pool.execute("UPDATE recipients SET held_until = NULL WHERE state = 'held'")
    assert await Sweeper(pool).run(EXPIRY) == 1
    assert await notifier(pool).tell() == 4
    assert await notices(pool) == ["a@remote.example"]


async def test_caps_make_it_wait_and_lose_nothing(customer: Seed, pool: Pool) -> None:
    """RELIABILITY T11: a flood of forged mail is no flood of notices."""
    await accept(pool, *(customer.message(reverse_path=f"u{i % 2}@remote.example") for i in range(6)))
    await fail(pool)
    assert await notifier(pool, by_minute=1).tell() == 6  # looked at; one was told
    assert len(await notices(pool)) == 1
    assert await notifier(pool, by_minute=1).tell() == 0
    await notifier(pool, by_hour=2).tell()
    await notifier(pool, by_hour=2).tell()
    by_sender = {path: (await notices(pool)).count(path) for path in ("u0@remote.example", "u1@remote.example")}
    assert set(by_sender.values()) == {2}
    await pool.execute("UPDATE notices SET made_at = made_at - interval '2 hours'")
    await notifier(pool).tell()
    assert len(await notices(pool)) == 6


async def test_one_replica_tells_at_a_time(customer: Seed, pool: Pool) -> None:
    await accept(pool, customer.message())
    await fail(pool)

    @asynccontextmanager
    async def other() -> AsyncIterator[None]:
        async with one_round(pool) as round_of_its_own:
            assert round_of_its_own is not None
            yield

    async with other():
        assert await notifier(pool).tell() == 0
    assert await notifier(pool).tell() == 1


async def test_a_round_that_dies_tells_nobody_and_the_next_one_does(customer: Seed, pool: Pool) -> None:
    await accept(pool, customer.message())
    await fail(pool)
    with pytest.raises(RuntimeError):
        async with one_round(pool) as notices_of_it:
            assert notices_of_it is not None
            dues = await notices_of_it.due(10, 50)
            assert [due.kind for due in dues] == [Kind.FAILED]
            await notices_of_it.tell(dues, None)
            raise RuntimeError("dies")
    assert await notifier(pool).tell() == 1 and await notices(pool) == ["a@remote.example"]
