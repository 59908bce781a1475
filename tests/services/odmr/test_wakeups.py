"""Wake-ups that are doubled, stale, garbage, huge or many: no effect beyond a look at the database. N4, N5, T16."""

import uuid

from shared.bus.connection import Bus
from shared.bus.subjects import mail_queued
from shared.domain.names import CustomerId
from tests.services.odmr.conftest import Factory
from tests.services.odmr.test_after_the_turn import take_one, turned
from tests.waiting import until


async def test_n4_any_wake_up_at_any_time_is_harmless(odmr: Factory, nats_urls: dict[str, str]) -> None:
    """The mail that is there comes once; a live session lives on, also under 20,000 of them."""
    async with odmr(poll_seconds=0.2) as provider:
        customer = await turned(provider, when_empty="live")
        customer.tell("250 c.example")
        bus = Bus(nats_urls["inbound"], "test")
        bus.start()
        await bus.connected()
        own = mail_queued(provider.customer.customer_id)
        for subject, data in (
            (own, b""),
            (own, b""),
            (mail_queued(CustomerId(uuid.uuid4())), b""),
            ("mail.queued.nonsense", b"\xff" * 100),
            (own, b"x" * 900_000),
        ):
            await bus.publish(subject, data)
        await provider.accept()
        await take_one(customer)
        for _ in range(20_000):
            await bus.publish(own)
        await provider.accept()
        await take_one(customer)
        await bus.close()
        assert await provider.pool.fetchval("SELECT count(*) FROM sessions WHERE ended_at IS NULL") == 1


async def test_n4_without_any_wake_up_the_poll_finds_it(odmr: Factory) -> None:
    async with odmr(poll_seconds=0.2) as provider:
        customer = await turned(provider, when_empty="live")
        customer.tell("250 c.example")
        await provider.accept()  # straight into the spool: nobody tells
        await take_one(customer)

        async def is_delivered() -> bool:
            return await provider.states() == [("delivered", 1)]

        await until(is_delivered, 10)
        assert await provider.states() == [("delivered", 1)]
