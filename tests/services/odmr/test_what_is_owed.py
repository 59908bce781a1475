"""After the turn: DSN parameters and SMTPUTF8 by what the customer's server offers, and mail on which our own code fails."""

from dataclasses import replace
from typing import Any

import pytest

from shared.domain.disposition import SUSPECT_FROM
from shared.storage.sweeps import RESCUER, Sweeper
from tests.services.odmr.conftest import CLOSED, Customer, Factory, Odmr
from tests.services.odmr.test_after_the_turn import ENVELOPE, take_one, turned
from tests.storage.test_notices import accept
from tests.waiting import until


async def put(provider: Odmr, *, mail: str = "", rcpt: str = "", utf8: bool = False) -> None:
    """A message whose sender said these parameters."""
    message = provider.customer.message()
    to = replace(message.recipients[0], dsn_parameters=rcpt)
    await accept(provider.pool, replace(message, dsn_parameters=mail, needs_smtputf8=utf8, recipients=(to,)))


async def row(provider: Odmr) -> tuple[Any, ...]:
    found = await provider.pool.fetchrow("SELECT state, is_dsn_due, last_reply FROM recipients")
    assert found is not None
    return tuple(found)


async def greet(customer: Customer, *keywords: str) -> None:
    lines = ["c.example", *keywords]
    for word in lines[:-1]:
        customer.tell(f"250-{word}")
    customer.tell(f"250 {lines[-1]}")


@pytest.mark.parametrize(
    ("offered", "mail", "rcpt", "owed"),
    [
        (("DSN",), " RET=HDRS ENVID=q", " NOTIFY=SUCCESS ORCPT=rfc822;u0@demo.example", False),
        ((), "", "", True),
    ],
)
async def test_r56_passed_on_where_dsn_is_offered_and_else_owed(
    odmr: Factory, offered: tuple[str, ...], mail: str, rcpt: str, owed: bool
) -> None:
    """RFC 3461 5.2.1 and 5.2.2: their server's word to the sender, or ours."""
    async with odmr() as provider:
        await put(provider, mail="RET=HDRS ENVID=q", rcpt="NOTIFY=SUCCESS ORCPT=rfc822;u0@demo.example")
        customer = await turned(provider)
        await greet(customer, *offered)
        assert await customer.line() == f"MAIL FROM:<a@remote.example>{mail}"
        customer.tell("250 ok")
        assert await customer.line() == f"RCPT TO:<u0@demo.example>{rcpt}"
        customer.tell("250 ok")
        assert await customer.line() == "DATA"
        customer.tell("354 go")
        await customer.until_line(".")
        customer.tell("250 ok")
        assert await customer.line() == "QUIT"
        customer.tell("221 bye")
        await provider.ended()
        assert await row(provider) == ("delivered", owed, "250 ok")


async def test_r55_mail_that_needs_smtputf8_is_never_sent_raw(odmr: Factory) -> None:
    async with odmr() as provider:
        await put(provider, utf8=True)
        customer = await turned(provider)
        await greet(customer, "8BITMIME")
        assert await customer.line() == "QUIT"
        customer.tell("221 bye")
        await provider.ended()
        assert await row(provider) == ("failed", True, "needs SMTPUTF8")


async def test_what_the_domain_holds_is_not_bounced(odmr: Factory) -> None:
    async with odmr() as provider:
        await provider.pool.execute("UPDATE domains SET when_refused = 'hold'")
        await put(provider, utf8=True)
        customer = await turned(provider)
        await greet(customer, "8BITMIME")
        assert await customer.line() == "QUIT"
        customer.tell("221 bye")
        await provider.ended()
        assert await row(provider) == ("held", False, "needs SMTPUTF8")


async def test_mail_that_cannot_be_sent_is_held_and_stops_nobody(odmr: Factory) -> None:
    """DESIGN, decided 13: content that is gone is a fault of ours. Held at the fourth time (decision 16); the rest goes."""
    async with odmr() as provider:
        await provider.accept(3)
        ids = [
            record["message_id"]
            for record in await provider.pool.fetch("SELECT message_id FROM recipients ORDER BY id")
        ]
        await provider.pool.execute("DELETE FROM content WHERE message_id = $1", ids[0])
        for attempt in range(4):
            customer = await turned(provider)
            await greet(customer, "X")
            if attempt == 1:  # the two behind it are not held up any more
                await take_one(customer)
                await take_one(customer)
            for command in ENVELOPE:
                assert await customer.line() == command
                customer.tell("354 go" if command == "DATA" else "250 ok")
            assert await customer.line() == CLOSED
            await provider.ended()
        states = await provider.pool.fetch("SELECT state, lost_leases FROM recipients ORDER BY id")
        assert [tuple(state) for state in states] == [("held", 4), ("delivered", 0), ("delivered", 0)]


async def test_a_row_whose_lease_was_lost_goes_alone_and_is_held_when_it_is_lost_again_and_again(odmr: Factory) -> None:
    async with odmr() as provider:
        await provider.accept(2)
        sweeper = Sweeper(provider.pool)

        async def lose() -> None:
            """All that is queued is leased, and whoever has it dies."""
            lease = provider.customer.lease()
            await provider.pool.execute(
                "INSERT INTO leases (id, session_id, customer_id, leased_until) VALUES ($1, $2, $3, now())",
                lease.id, lease.session_id, lease.customer_id,
            )  # fmt: skip
            await provider.pool.execute(
                "UPDATE recipients SET state = 'leased', lease_id = $1 WHERE state = 'queued'", lease.id
            )
            await sweeper.run(RESCUER)

        for _ in range(SUSPECT_FROM):
            await lose()
        await provider.accept(1)
        customer = await turned(provider)
        await greet(customer, "PIPELINING", "CHUNKING")
        assert (await customer.line()).startswith("MAIL") and (await customer.line()).startswith("RCPT")
        size = (await customer.line()).split()[1]  # BDAT: the one that was never lost goes first
        assert int(size) > 0
        await customer.until_line("RSET")
        for answer in ("250 ok", "250 ok", "250 ok", "250 ok"):
            customer.tell(answer)
        assert (await customer.line()).startswith("MAIL") and (await customer.line()).startswith("RCPT")
        await customer.until_line("RSET")

        async def one_is_leased() -> bool:
            return bool(await provider.pool.fetchval("SELECT count(*) = 1 FROM recipients WHERE state = 'leased'"))

        await until(one_is_leased, 10)
        customer.close()  # cut: no fault of ours
        await provider.ended()
        lost = await provider.pool.fetch("SELECT lost_leases FROM recipients WHERE state = 'queued'")
        assert sorted(record["lost_leases"] for record in lost) == [
            0,
            SUSPECT_FROM,
        ]  # the one that was sent is none any more
        for _ in range(4):
            await lose()
        assert await provider.pool.fetchval("SELECT count(*) FROM recipients WHERE state = 'held'") == 2
        assert await provider.pool.fetchval("SELECT count(*) FROM events WHERE type = 'message.held'") == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE customers SET state = 'suspended'",
        "UPDATE credentials SET revoked_at = now(), sealed_secret = NULL, sealed_scram = NULL",
        "UPDATE domains SET name = 'moved.example'",
    ],
)
async def test_r65_a_live_session_is_woken_to_end_when_its_right_is_gone(odmr: Factory, statement: str) -> None:
    """R65: a customer suspended, a credential revoked, a domain taken away: QUIT at the next renewal, without waiting for mail."""
    async with odmr(lease_seconds=0.6, noop_seconds=200) as provider:
        customer = await turned(provider, when_empty="live")
        await greet(customer, "X")

        async def is_resting() -> bool:
            return bool(await provider.pool.fetchval("SELECT count(*) FROM leases"))

        await until(is_resting, 10)
        await provider.pool.execute(statement)
        assert await customer.line() == "QUIT"
        customer.tell("221 bye")
        await provider.ended()
