"""RELIABILITY 2: what aiosmtpd 1.4.6 does as shipped, A1 to A14, and what we do instead."""

import asyncio
import resource
import time

import asyncpg
import pytest

from shared.storage.accept import NotAccepted
from tests.services.inbound.conftest import Inbound, Peer

GROWTH = 16 * 1024 * 1024


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def _growth_while(peer: Peer, piece: bytes, count: int) -> int:
    before, peak = _resident(), 0
    for _ in range(count):
        peer.writer.write(piece)
        await peer.writer.drain()
        peak = max(peak, _resident() - before)
    return peak


async def test_a1_content_without_a_line_end_does_not_grow_memory(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    await peer.envelope()
    try:
        growth = await _growth_while(peer, b"x" * (1 << 20), 64)
    except ConnectionError:
        growth = 0  # far over the limit the line is cut, which is as good
    assert growth < GROWTH
    assert await inbound.stored() == []


async def test_a2_a3_empty_lines_grow_no_memory_and_starve_nobody(inbound: Inbound) -> None:
    peer, other = await Peer.connect(inbound), await Peer.connect(inbound)
    await peer.envelope()

    async def flood() -> int:
        return await _growth_while(peer, b"\r\n" * (1 << 16), 24)

    task = asyncio.create_task(flood())
    waits = []
    while not task.done():
        began = time.monotonic()
        assert (await other.say(b"RSET")).startswith((b"250 ", b"421 "))
        waits.append(time.monotonic() - began)
        if len(waits) > 80:
            break
    assert await task < GROWTH
    assert sorted(waits)[len(waits) // 2] < 0.1
    peer.writer.write(b".\r\n")
    assert (await peer.reply()).startswith(b"250 ")


async def test_a5_a_long_line_is_mail(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    long = b"Subject: x\r\n\r\n" + b"x" * 100_000 + b"\r\n"
    assert (await peer.send(long)).startswith(b"250 ")
    assert (await inbound.stored())[0][2].endswith(long)


@pytest.mark.parametrize(
    "error", [NotAccepted("secret host db1"), RuntimeError("secret host db1"), asyncpg.PostgresError("secret")]
)
async def test_a6_a7_a_fault_of_ours_is_451_and_leaves_no_envelope(inbound: Inbound, error: Exception) -> None:
    peer = await Peer.connect(inbound)
    accept = inbound.parts.acceptor.accept

    async def fail(_message: object) -> None:
        raise error

    inbound.parts.acceptor.accept = fail  # type: ignore[method-assign, assignment]
    reply = await peer.send(b"one\r\n", "one@demo.example")
    assert reply == b"451 4.3.0 Local trouble, try again later\r\n"
    inbound.parts.acceptor.accept = accept  # type: ignore[method-assign]
    assert (await peer.send(b"two\r\n", "two@demo.example")).startswith(b"250 ")
    [(_, forward_paths, content)] = await inbound.stored()
    assert forward_paths == ["two@demo.example"] and content.endswith(b"\r\ntwo\r\n")


@pytest.mark.fresh_database
async def test_a6_a_database_that_fails_at_rcpt_is_451(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    await peer.say(b"MAIL FROM:<a@remote.example>")
    await inbound.pool.execute("ALTER TABLE domains RENAME TO domains_gone")
    assert await peer.say(b"RCPT TO:<u@demo.example>") == b"451 4.3.0 Local trouble, try again later\r\n"
    await inbound.pool.execute("ALTER TABLE domains_gone RENAME TO domains")
    assert (await peer.send(b"x\r\n")).startswith(b"250 ")


async def test_a8_a_half_close_after_the_dot_still_gets_its_reply(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    await peer.envelope()
    peer.writer.write(b"x\r\n.\r\n")
    peer.writer.write_eof()
    assert (await peer.reply()).startswith(b"250 ")
    assert len(await inbound.stored()) == 1


async def test_a8_who_hangs_up_after_the_dot_has_still_sent(inbound: Inbound) -> None:
    for _ in range(20):
        peer = await Peer.connect(inbound)
        await peer.envelope()
        peer.writer.write(b"x\r\n.\r\n")
        await peer.writer.drain()
        peer.writer.transport.abort()
    await inbound.parts.connections.ended(10)
    count = await inbound.pool.fetchval("SELECT count(*) FROM messages")
    assert count <= 20
    assert await inbound.pool.fetchval("SELECT count(*) FROM recipients") == count
    peer = await Peer.connect(inbound)
    assert (await peer.send(b"next\r\n")).startswith(b"250 ")


@pytest.mark.parametrize(
    "form", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\r\n.\r\r\n", b"\r\n.\r", b"\0\r\n.\0\r\n"]
)
async def test_a9_only_crlf_dot_crlf_ends_data(inbound: Inbound, form: bytes) -> None:
    """R73. What was smuggled stays content, and goes on without a bare CR or LF."""
    peer = await Peer.connect(inbound)
    await peer.envelope()
    peer.writer.write(b"before" + form + b"MAIL FROM:<evil@remote.example>\r\n.\r\n")
    assert (await peer.reply()).startswith(b"250 ")
    assert (await peer.say(b"NOOP")).startswith(b"250 ")
    [(_, _, content)] = await inbound.stored()
    assert b"MAIL FROM:<evil@remote.example>" in content
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")


async def test_a12_slow_content_is_not_cut_while_it_moves(inbound: Inbound) -> None:
    """The time-out is for silence, not for all of DATA; here only that a pause in the middle does no harm."""
    peer = await Peer.connect(inbound)
    await peer.envelope()
    for piece in (b"Sub", b"ject: x\r", b"\n\r\nbo", b"dy\r\n", b".", b"\r", b"\n"):
        peer.writer.write(piece)
        await peer.writer.drain()
        await asyncio.sleep(0)
    assert (await peer.reply()).startswith(b"250 ")
    assert (await inbound.stored())[0][2].endswith(b"Subject: x\r\n\r\nbody\r\n")


async def test_a13_what_ehlo_lists_comes_in_one_piece(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound, hello=b"")
    peer.writer.write(b"EHLO remote.example\r\n")
    data = await peer.reader.read(65_536)
    assert data == (
        b"250-mx.provider.example\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250-SMTPUTF8\r\n"
        b"250-SIZE 4194304\r\n250 8BITMIME\r\n"
    )


async def test_a13_a_pipelined_group_is_answered_in_order(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    peer.writer.write(
        b"MAIL FROM:<a@remote.example>\r\nRCPT TO:<u@demo.example>\r\nRCPT TO:<u@elsewhere.example>\r\nDATA\r\n"
    )
    assert [(await peer.reply())[:3] for _ in range(4)] == [b"250", b"250", b"550", b"354"]
    peer.writer.write(b"x\r\n.\r\nMAIL FROM:<b@remote.example>\r\nRCPT TO:<v@demo.example>\r\nQUIT\r\n")
    assert [(await peer.reply())[:3] for _ in range(4)] == [b"250", b"250", b"250", b"221"]
    assert len(await inbound.stored()) == 1
