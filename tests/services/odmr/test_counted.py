"""What odmr and auth count: logins, ATRN by its answer, sessions, and how long mail waited, apart for who was connected."""

from shared.metrics import REGISTRY
from tests.counting import Growth, grows
from tests.services.odmr.conftest import Factory
from tests.services.odmr.test_after_the_turn import take_one, turned
from tests.waiting import until


async def test_a_turned_session_and_its_mail(odmr: Factory) -> None:
    async with odmr(poll_seconds=0.2) as provider:
        waited, pushed = (Growth("odmr_queue_latency_seconds_count", connected=word) for word in ("false", "true"))
        ended = Growth("odmr_sessions_total", result="turned")
        with (
            grows(1, "odmr_atrn_total", result="turned"),
            grows(1, "odmr_auth_attempts_total", mechanism="CRAM-MD5", result="granted"),
            grows(2, "odmr_delivery_attempts_total", result="delivered"),
        ):
            await provider.accept()
            active = REGISTRY.get_sample_value("odmr_sessions_active")
            customer = await turned(provider, when_empty="live")
            assert REGISTRY.get_sample_value("odmr_sessions_active") == (active or 0) + 1
            customer.tell("250 c.example")
            await take_one(customer)

            async def has_waited() -> bool:
                return waited.value == 1

            await until(has_waited, 10)
            assert pushed.value == 0
            await provider.accept()
            await take_one(customer)

            async def was_pushed() -> bool:
                return pushed.value == 1

            await until(was_pushed, 10)
            assert waited.value == 1
        customer.close()

        async def has_ended() -> bool:
            return ended.value == 1

        await until(has_ended, 10)
        assert REGISTRY.get_sample_value("odmr_sessions_active") == (active or 0)


async def test_what_is_refused(odmr: Factory) -> None:
    async with odmr() as provider:
        with grows(1, "odmr_atrn_total", result="no_mail"), grows(1, "odmr_atrn_total", result="refused"):
            customer = await provider.login(await provider.mint())
            assert (await customer.say("ATRN")).startswith("453 ")
            assert (await customer.say("ATRN not.yours")).startswith("450 ")
