"""The turned session by its settings: time limits, live sessions, and what becomes of the queue."""

from typing import Any

import pytest

from services.odmr.limits import Limits
from services.odmr.settings import OdmrSettings
from shared import failpoint
from shared.protocol.flight import Step
from tests.services.odmr.conftest import CLOSED, Customer, Factory, Odmr
from tests.waiting import until

ENVELOPE = ("MAIL FROM:<a@remote.example>", "RCPT TO:<u0@demo.example>", "DATA")


async def turned(provider: Odmr, **policies: Any) -> Customer:
    """A customer that has its 250, and has greeted."""
    customer = await provider.login(await provider.mint(**policies))
    assert (await customer.say("ATRN")).startswith("250 ")
    customer.tell("220 c.example")
    assert await customer.line() == "EHLO mx.example"
    return customer


async def take_one(customer: Customer) -> None:
    """Takes a message, command by command."""
    for command in ENVELOPE:
        assert await customer.line() == command
        customer.tell("354 go" if command == "DATA" else "250 ok")
    await customer.until_line(".")
    customer.tell("250 ok")


def test_r44_the_rfcs_times_are_the_defaults_and_each_can_be_set() -> None:
    rfc = {Step.GREETING: 300, Step.MAIL: 300, Step.RCPT: 300, Step.DATA: 120, Step.DOT: 600}
    assert {step: Limits().reply(step) for step in rfc} == rfc and Limits().block == 180
    names = ("greeting", "mail", "rcpt", "data", "block", "dot")
    known = {"database_url": "postgresql://x", "nats_url": "nats://x"}
    settings = OdmrSettings(**known, **{f"{name}_seconds": i + 1 for i, name in enumerate(names)})  # type: ignore[arg-type]
    assert [getattr(settings.limits, name) for name in names] == [1, 2, 3, 4, 5, 6]
    assert [settings.limits.reply(step) for step in rfc] == [1, 2, 3, 4, 6]
    assert all(Limits().reply(step) > 0 for step in Step)


#: The setting that is short, and how many replies the customer gives before it falls silent.
SILENCES = [("mail", 1), ("rcpt", 2), ("data", 3)]


@pytest.mark.parametrize(("name", "replies"), SILENCES)
async def test_r44_a_customer_that_falls_silent_keeps_nothing(odmr: Factory, name: str, replies: int) -> None:
    """R51: and the message can be had at once by the next session."""
    async with odmr(**{f"{name}_seconds": 1.0}) as provider:
        await provider.accept()
        customer = await turned(provider)
        customer.tell("250 c.example")
        for command in ENVELOPE[: replies - 1]:
            assert await customer.line() == command
            customer.tell("250 ok")
        assert await customer.line() == ENVELOPE[replies - 1]
        assert await customer.line() == CLOSED
        assert await provider.ended() == "no reply within 1 s"
        assert await provider.states() == [("queued", 0)]
        again = await turned(provider)
        again.tell("250 c.example")
        await take_one(again)
        assert await again.line() == "QUIT"
        again.tell("221 bye")
        await provider.ended()
        assert await provider.states() == [("delivered", 1)]


async def test_r44_no_word_after_the_last_dot_may_mean_twice(odmr: Factory) -> None:
    """R50: and never a delivery."""
    async with odmr(dot_seconds=1.0) as provider:
        await provider.accept()
        customer = await turned(provider)
        customer.tell("250 c.example")
        for command in ENVELOPE:
            assert await customer.line() == command
            customer.tell("354 go" if command == "DATA" else "250 ok")
        await customer.until_line(".")
        assert await customer.line() == CLOSED
        await provider.ended()
        row = await provider.pool.fetchrow("SELECT state, is_uncertain FROM recipients")
        assert row is not None and tuple(row) == ("queued", True)


async def test_r44_a_greeting_that_does_not_come(odmr: Factory) -> None:
    async with odmr(greeting_seconds=1.0) as provider:
        await provider.accept()
        customer = await provider.login(await provider.mint())
        assert (await customer.say("ATRN")).startswith("250 ")
        assert await customer.line() == CLOSED
        await provider.ended()
        assert await provider.states() == [("queued", 0)]


async def test_r48_recipients_that_are_too_many_for_one_transaction_go_in_another_at_once(odmr: Factory) -> None:
    """100 in a transaction; what got 452, or an old server's 552, is sent again in the same session."""
    async with odmr() as provider:
        await provider.accept(recipients=120)
        customer = await turned(provider)
        customer.tell("250 c.example")
        taken: list[int] = []
        while (line := await customer.line()) != "QUIT":
            assert line.startswith("MAIL FROM")
            customer.tell("250 ok")
            said = 0
            while (line := await customer.line()).startswith("RCPT"):
                said += 1
                customer.tell("250 ok" if said <= 30 else "452 too many" if said % 2 else "552 too many")
            assert line == "DATA"
            customer.tell("354 go")
            taken.append(min(said, 30))
            await customer.until_line(".")
            customer.tell("250 ok")
        customer.tell("221 bye")
        await provider.ended()
        assert sum(taken) == 120 and max(taken) == 30
        assert set(await provider.states()) == {("delivered", 1)}


async def test_r62_a_live_session_is_pushed_to_and_told_that_we_are_there(odmr: Factory) -> None:
    """R63: NOOP after so much silence, QUIT after so much time; a 421 of the customer's is a clean end."""
    async with odmr(noop_seconds=0.2, live_seconds=60) as provider:
        customer = await turned(provider, when_empty="live")
        customer.tell("250 c.example")
        for _ in range(2):
            assert await customer.line() == "NOOP"
            customer.tell("250 ok")
        await provider.accept()
        lines = [await customer.line()]
        while lines[-1] == "NOOP":
            customer.tell("250 ok")
            lines.append(await customer.line())
        assert lines[-1] == ENVELOPE[0]
        customer.tell("250 ok")
        for command in ENVELOPE[1:]:
            assert await customer.line() == command
            customer.tell("354 go" if command == "DATA" else "250 ok")
        await customer.until_line(".")
        customer.tell("250 ok")
        assert await customer.line() == "NOOP"
        customer.tell("421 enough for today")
        assert await customer.line() == CLOSED
        assert (await provider.ended()).startswith("421 ")


async def test_r63_a_live_session_ends_with_quit_after_its_time(odmr: Factory) -> None:
    async with odmr(live_seconds=0.5) as provider:
        customer = await turned(provider, when_empty="live")
        customer.tell("250 c.example")
        assert await customer.line() == "QUIT"
        customer.tell("221 bye")
        assert await provider.ended() == "QUIT"


async def test_r63_a_dead_customer_is_found_within_one_noop(odmr: Factory) -> None:
    async with odmr(noop_seconds=0.2) as provider:
        customer = await turned(provider, when_empty="live")
        customer.tell("250 c.example")
        assert await customer.line() == "NOOP"
        customer.close()
        assert "closed the connection" in await provider.ended()


async def test_one_poll_serves_all_sessions_of_a_process(odmr: Factory) -> None:
    """Where no wake-up comes, since mail was put into the queue without one."""
    async with odmr(poll_seconds=0.1) as provider:
        customers = [await turned(provider, when_empty="live") for _ in range(3)]
        for customer in customers:
            customer.tell("250 c.example")
        await provider.accept(3)

        async def is_under_way() -> bool:
            return bool(await provider.pool.fetchval("SELECT count(*) = 3 FROM recipients WHERE state = 'leased'"))

        await until(is_under_way, 10)
        for customer in customers:
            customer.close()
        await provider.ended()
        assert await provider.states() == [("queued", 0)] * 3


async def test_x7_a_process_that_stood_still_past_its_lease_does_not_say_the_dot_that_it_had_ready(
    odmr: Factory,
) -> None:
    async with odmr(lease_seconds=0.5) as provider:
        await provider.accept()
        customer = await turned(provider)
        failpoint.arm("odmr.before_dot=stop:0.8")
        try:
            customer.tell("250 c.example")
            for command in ENVELOPE:
                assert await customer.line() == command
                customer.tell("354 go" if command == "DATA" else "250 ok")
            assert await customer.line() == CLOSED
        finally:
            failpoint.arm("")
        assert await provider.ended() == "the lease is not trusted any more"
        assert await provider.states() == [("queued", 0)]


async def test_a_session_that_has_lost_its_lease_never_says_the_last_dot(odmr: Factory) -> None:
    """DESIGN, decided 8: another session may have the message by then."""
    async with odmr(lease_seconds=0.6) as provider:
        await provider.accept(content=b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 200_000)
        customer = await turned(provider)
        customer.tell("250 c.example")
        for command in ENVELOPE:
            assert await customer.line() == command
            customer.tell("354 go" if command == "DATA" else "250 ok")
        await provider.pool.execute("UPDATE credentials SET revoked_at = now()")

        async def is_lost() -> bool:
            return not await provider.pool.fetchval("SELECT count(*) FROM leases WHERE leased_until > now()")

        await until(is_lost, 10)
        while (line := await customer.line()) != CLOSED:
            assert line != "."
        assert await provider.ended() == "the lease is not trusted any more"
        assert await provider.states() == [("queued", 0)]
