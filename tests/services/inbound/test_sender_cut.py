"""A sender that goes away in the middle, at every octet; and a machine that has no more file descriptors. C2, K1, X4."""

import asyncio
import contextlib
import resource
from pathlib import Path

import pytest

from tests.services.inbound.conftest import Inbound
from tests.waiting import until

SAID = (
    b"EHLO remote.example\r\nMAIL FROM:<a@remote.example>\r\nRCPT TO:<u@demo.example>\r\nDATA\r\n"
    b"Subject: x\r\n\r\n.dots\r\nbody\r\n.\r\nQUIT\r\n"
)
#: Of how much of it the last octet of the end of data is the last.
WHOLE = SAID.index(b"QUIT")


@pytest.mark.parametrize("half", [False, True], ids=["close", "half-close"])
async def test_c2_a_cut_at_every_octet_stores_what_was_whole_and_nothing_else(inbound: Inbound, half: bool) -> None:
    """A half-close still hears its 250 (A8); a commit that is under way is not taken back."""
    for at in range(1, len(SAID)):
        reader, writer = await asyncio.open_connection("127.0.0.1", inbound.port)
        writer.write(SAID[:at])
        await writer.drain()
        heard = b""
        if half:
            writer.write_eof()
            async with asyncio.timeout(20):
                heard = await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        if half:
            assert (b"OK queued as" in heard) is (at >= WHOLE), at

    async def all_are_gone() -> bool:
        return not inbound.parts.connections.all

    await until(all_are_gone, 20)
    await inbound.parts.acceptor.close()
    stored = await inbound.pool.fetchval("SELECT count(*) FROM messages")
    whole = len(SAID) - WHOLE
    assert (
        stored == whole if half else stored <= whole
    )  # who closes with replies unread resets the line (RFC 1122 4.2.2.13)
    assert await inbound.pool.fetchval("SELECT count(*) FROM recipients") == stored
    assert not await inbound.pool.fetchval("SELECT count(*) FROM uploads")


async def test_x4_no_descriptors_left_is_waited_out(inbound: Inbound) -> None:
    """Connections beyond the limit wait in the backlog or are refused; when some go, new ones are served."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(list(Path("/proc/self/fd").iterdir()))
    writers: list[asyncio.StreamWriter] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 40, hard))
    loop = asyncio.get_running_loop()
    seen: list[str] = []
    loop.set_exception_handler(lambda _loop, context: seen.append(str(context.get("message", ""))))
    try:
        with contextlib.suppress(OSError):
            for _ in range(60):
                async with asyncio.timeout(2):
                    _, writer = await asyncio.open_connection("127.0.0.1", inbound.port)
                writers.append(writer)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        loop.set_exception_handler(None)
    assert 10 < len(writers) < 60
    for writer in writers:
        writer.close()

    async def is_served() -> bool:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", inbound.port)
            async with asyncio.timeout(2):
                line = await reader.readline()
            writer.close()
            return line.startswith(b"220 ")
        return False

    await until(is_served, 20)
