"""What MAIL and RCPT may say beyond an address, and when there is no room: RFC 6531, RFC 3461, quotas and space."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from services.inbound.quotas import Quotas
from services.inbound.server import factory
from services.inbound.space import Space
from shared.clock import Clock
from shared.storage.sweeps import REFUSALS, ROLL_UP, Sweeper
from tests.services.inbound.conftest import Inbound, Peer
from tests.waiting import until


async def test_r78_smtputf8_is_taken_and_kept_as_said(inbound: Inbound) -> None:
    """RFC 6531: addresses beyond ASCII under SMTPUTF8 alone; the domain goes to its A-label."""
    peer = await Peer.connect(inbound)
    assert (await peer.say("MAIL FROM:<jörg@remote.example> SMTPUTF8".encode())).startswith(b"250 ")
    assert (await peer.say("RCPT TO:<ünal@demo.example>".encode())).startswith(b"250 ")
    assert (await peer.say(b"RCPT TO:<x@nirgends.example>")).startswith(b"550 ")
    assert (await peer.say("RCPT TO:<x@bücher.example>".encode())).startswith(b"550 5.7.1 ")
    assert (await peer.say(b"DATA")).startswith(b"354 ")
    peer.writer.write(b"Subject: x\r\n\r\nbody\r\n.\r\n")
    assert (await peer.reply()).startswith(b"250 ")
    [(reverse_path, paths, content)] = await inbound.stored()
    assert (reverse_path, paths) == ("jörg@remote.example", ["ünal@demo.example"]) and b" with UTF8SMTP id " in content
    assert await inbound.pool.fetchval("SELECT needs_smtputf8 FROM messages")


@pytest.mark.parametrize(("header", "needs"), [(b"Subject: x", False), ("Subject: ü".encode(), True)])
async def test_what_is_ascii_after_all_needs_no_smtputf8(inbound: Inbound, header: bytes, needs: bool) -> None:
    peer = await Peer.connect(inbound)
    await peer.say(b"MAIL FROM:<a@remote.example> SMTPUTF8 BODY=8BITMIME")
    await peer.say(b"RCPT TO:<u@demo.example>")
    await peer.say(b"DATA")
    peer.writer.write(header + "\r\n\r\nGrüße\r\n.\r\n".encode())
    assert (await peer.reply()).startswith(b"250 ")
    assert await inbound.pool.fetchval("SELECT needs_smtputf8 FROM messages") is needs


async def test_an_address_beyond_ascii_without_smtputf8(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    assert (await peer.say(b"MAIL FROM:<a@remote.example>")).startswith(b"250 ")
    assert (await peer.say("RCPT TO:<ü@demo.example>".encode())).startswith(b"553 5.6.7 ")
    assert (await peer.say("RCPT TO:<u@demo.example> ORCPT=utf-8;ü@demo.example".encode())).startswith(b"553 5.6.7 ")


async def test_r56_dsn_parameters_are_kept_as_they_came(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    assert (await peer.say(b"MAIL FROM:<a@remote.example> RET=hdrs ENVID=QQ+2B1")).startswith(b"250 ")
    assert (await peer.say(b"RCPT TO:<u@demo.example> NOTIFY=Success,FAILURE ORCPT=rfc822;U@x.example")).startswith(
        b"250 "
    )
    assert (await peer.say(b"RCPT TO:<v@demo.example> NOTIFY=NEVER,SUCCESS")).startswith(b"501 5.5.4 ")
    await peer.say(b"DATA")
    peer.writer.write(b"x\r\n.\r\n")
    await peer.reply()
    row = await inbound.pool.fetchrow(
        "SELECT m.dsn_parameters, r.dsn_parameters AS rcpt FROM messages m JOIN recipients r ON r.message_id = m.id"
    )
    assert row is not None and tuple(row) == (
        "RET=hdrs ENVID=QQ+2B1",
        "NOTIFY=Success,FAILURE ORCPT=rfc822;U@x.example",
    )


@pytest.mark.parametrize(("limit", "value"), [("max_messages", 2), ("max_bytes", 300)])
async def test_r80_a_full_queue_is_452_and_no_other_domains_matter(inbound: Inbound, limit: str, value: int) -> None:
    """R80, RELIABILITY T10: in the reply to RCPT; what is fetched makes room again."""
    await inbound.pool.execute(f"UPDATE domains SET {limit} = $1 WHERE name = 'demo.example'", value)
    parts = replace(inbound.parts, quotas=Quotas(inbound.parts.hosted, Skipping()))
    server = await asyncio.get_running_loop().create_server(factory(parts), "127.0.0.1", 0)
    peer = await Peer.connect(replace(inbound, port=server.sockets[0].getsockname()[1]))
    for _ in range(2):
        assert (await peer.send(b"x\r\n")).startswith(b"250 ")
    assert (await peer.say(b"MAIL FROM:<a@remote.example>")).startswith(b"250 ")
    assert (await peer.say(b"RCPT TO:<u@demo.example>")).startswith(b"452 4.2.2 ")
    assert (await peer.say(b"RCPT TO:<u@other.example>")).startswith(b"250 ")
    await inbound.pool.execute("UPDATE recipients SET state = 'delivered', settled_at = now()")
    assert (await peer.say(b"RCPT TO:<u@demo.example>")).startswith(b"250 ")
    server.close()


async def test_a_plans_limit_of_one_message(inbound: Inbound) -> None:
    """By SIZE at RCPT, and by what came where nothing was said; another customer's mail goes on."""
    await _plan(inbound, "max_message_bytes", 100)
    peer = await Peer.connect(inbound)
    assert (await peer.say(b"MAIL FROM:<a@remote.example> SIZE=101")).startswith(b"250 ")
    assert (await peer.say(b"RCPT TO:<u@demo.example>")).startswith(b"552 5.3.4 ")
    assert (await peer.say(b"RCPT TO:<u@other.example>")).startswith(b"250 ")
    await peer.say(b"RSET")
    assert (await peer.send(b"x" * 99 + b"\r\n")).startswith(b"552 5.3.4 ")
    assert (await peer.send(b"x" * 98 + b"\r\n")).startswith(b"250 ")


async def test_a_plans_limit_of_an_hour(inbound: Inbound) -> None:
    """What is rolled up counts as what is not, and another hour's not at all."""
    await _plan(inbound, "max_messages_per_hour", 3)
    parts = replace(inbound.parts, quotas=Quotas(inbound.parts.hosted, Skipping()))
    server = await asyncio.get_running_loop().create_server(factory(parts), "127.0.0.1", 0)
    peer = await Peer.connect(replace(inbound, port=server.sockets[0].getsockname()[1]))
    for _ in range(2):
        assert (await peer.send(b"x\r\n")).startswith(b"250 ")
    assert await Sweeper(inbound.pool).run(ROLL_UP) == 2  # its meters, messages and octets
    assert (await peer.send(b"x\r\n")).startswith(b"250 ")
    await peer.say(b"MAIL FROM:<a@remote.example>")
    assert (await peer.say(b"RCPT TO:<u@demo.example>")).startswith(b"450 4.7.1 ")
    assert (await peer.say(b"RCPT TO:<u@other.example>")).startswith(b"250 ")
    await inbound.pool.execute("UPDATE usage_buckets SET hour = hour - interval '1 hour'")
    assert (await peer.say(b"RCPT TO:<u@demo.example>")).startswith(b"250 ")
    server.close()


async def _plan(inbound: Inbound, limit: str, value: int) -> None:
    await inbound.pool.execute(
        f"WITH made AS (INSERT INTO plans (id, name, {limit}) VALUES (gen_random_uuid(), 'p', $1) RETURNING id) "
        "UPDATE customers c SET plan_id = made.id FROM made, domains d WHERE d.customer_id = c.id AND d.name = 'demo.example'",
        value,
    )


async def test_whom_the_customers_server_did_not_know_is_refused_for_a_time(inbound: Inbound) -> None:
    await inbound.pool.execute(
        "INSERT INTO refused_recipients (domain_id, local_part, reply, until) SELECT id, part, '550 5.1.1 who?', "
        "now() + make_interval(secs => s) FROM domains, (VALUES ('gone', 60), ('back', -1), ('postmaster', 60)) AS v(part, s) "
        "WHERE name = 'demo.example'"
    )
    peer = await Peer.connect(inbound)
    await peer.say(b"MAIL FROM:<a@remote.example>")
    for name, reply in ((b"Gone", b"550 5.1.1 "), (b"back", b"250 "), (b"u", b"250 "), (b"Postmaster", b"250 ")):
        assert (await peer.say(b"RCPT TO:<" + name + b"@demo.example>")).startswith(reply), name
    assert await Sweeper(inbound.pool).run(REFUSALS) == 1


class Skipping(Clock):
    """A clock on which two looks are far apart, so that nothing is remembered."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0.0

    def monotonic(self) -> float:
        self._at += 60.0
        return self._at


async def test_p4_no_space_is_452_before_the_database_fails(inbound: Inbound, tmp_path: Path) -> None:
    """RELIABILITY P4: MAIL hears 452 4.3.1 while too little is free, and 250 again when there is."""
    for space, is_low in (
        (Space(str(tmp_path), least_free=1 << 60), True),
        (Space(str(tmp_path), least_free=1), False),
        (Space(max_database=1), True),
        (Space(max_database=1 << 50), False),
    ):
        watching = asyncio.create_task(space.watch(inbound.pool))

        async def is_known(space: Space = space, is_low: bool = is_low) -> bool:
            return space.is_low is is_low

        await until(is_known, 10)
        server = await asyncio.get_running_loop().create_server(
            factory(replace(inbound.parts, space=space)), "127.0.0.1", 0
        )
        peer = await Peer.connect(replace(inbound, port=server.sockets[0].getsockname()[1]))
        assert (await peer.say(b"MAIL FROM:<a@remote.example>")).startswith(b"452 4.3.1 " if is_low else b"250 ")
        watching.cancel()
        server.close()


@pytest.mark.parametrize(
    ("receiving", "reply"), [("hold", b"250 "), ("tempfail", b"450 4.2.1 "), ("reject", b"550 5.2.1 ")]
)
async def test_what_a_suspended_customers_senders_hear(inbound: Inbound, receiving: str, reply: bytes) -> None:
    await inbound.pool.execute("UPDATE customers SET state = 'suspended', receiving = $1", receiving)
    peer = await Peer.connect(inbound)
    await peer.say(b"MAIL FROM:<a@remote.example>")
    assert (await peer.say(b"RCPT TO:<u@demo.example>")).startswith(reply)
