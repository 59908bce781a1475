"""Floods at the MX, and what another client and inbound's memory feel of them. RELIABILITY T10, A1 to A3."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from localserve.provider import Provider
from tests.show.measuring import MIB, status_of
from tests.waiting import lasts

#: What a session may add to inbound's memory, and the slowest reply of a hundred that another client may see.
MOST_MEMORY = 16 * MIB
MOST_NOOP = 0.1
IDLE = 2_000
#: Seconds between two octets, and how long such a sender is watched.
DRIP = 5.0
DRIPS = 4


@dataclass(slots=True)
class Felt:
    """What one flood cost: octets of memory by session, and the other client's replies in seconds."""

    memory: int
    replies: list[float] = field(default_factory=list)

    @property
    def p99(self) -> float:
        """The reply that one of a hundred is slower than."""
        return statistics.quantiles(self.replies, n=100)[98] if len(self.replies) > 1 else 0.0


class Sender:
    """A client that says what it is told and throws replies away as they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, provider: Provider) -> "Sender":
        """Past EHLO."""
        made = cls(*await asyncio.open_connection("127.0.0.1", provider.ports.smtp, limit=1 << 20))
        await made.reply()
        await made.say(b"EHLO flood.example\r\n")
        return made

    async def say(self, data: bytes) -> bytes:
        """Says it, and hears one reply."""
        self.writer.write(data)
        await self.writer.drain()
        return await self.reply()

    async def reply(self) -> bytes:
        """The next reply's last line; b"" at the end."""
        async with asyncio.timeout(120):
            while (line := await self.reader.readline())[3:4] == b"-":
                pass
            return line

    async def data(self, domain: bytes = b"demo.example") -> None:
        """Up to the 354."""
        await self.say(b"MAIL FROM:<a@remote.example>\r\n")
        await self.say(b"RCPT TO:<u@%s>\r\n" % domain)
        assert (await self.say(b"DATA\r\n")).startswith(b"354")

    async def pour(self, piece: bytes, octets: int) -> None:
        """So many octets of it, as fast as they are taken; a server that hangs up ends it."""
        with contextlib.suppress(ConnectionError):
            for _ in range(octets // len(piece)):
                self.writer.write(piece)
                await self.writer.drain()

    def close(self) -> None:
        """Hangs up."""
        self.writer.close()


@asynccontextmanager
async def _watching(provider: Provider, sessions: int) -> AsyncIterator[Felt]:
    """Another client says NOOP all the time; inbound's memory is read before, and at its peak."""
    with open(f"/proc/{provider.child('inbound').pid}/clear_refs", "w") as file:
        file.write("5")  # proc(5): the peak is forgotten
    before = status_of(provider, "inbound", "VmRSS")
    felt, is_over = Felt(0), asyncio.Event()

    async def ask() -> None:
        other = await Sender.connect(provider)
        asked = 0
        while not is_over.is_set():
            asked += 1
            if asked % 90 == 0:  # beyond that a client is a flood itself
                other.close()
                other = await Sender.connect(provider)
            began = time.monotonic()
            await other.say(b"NOOP\r\n")
            felt.replies.append(time.monotonic() - began)
            await lasts(0.005)
        other.close()

    asking = asyncio.create_task(ask())
    try:
        yield felt
    finally:
        is_over.set()
        await asking
        felt.memory = (status_of(provider, "inbound", "VmHWM") - before) // sessions


async def _no_line_end(provider: Provider) -> None:
    sender = await Sender.connect(provider)
    await sender.data()
    await sender.pour(b"x" * 65_536, 300 * MIB)
    sender.close()


async def _empty_lines(provider: Provider) -> None:
    sender = await Sender.connect(provider)
    await sender.data()
    await sender.pour(b"\r\n" * 32_768, 32 * MIB)
    await sender.say(b"\r\n.\r\n")
    sender.close()


async def _header_lines(provider: Provider) -> None:
    sender = await Sender.connect(provider)
    await sender.data()
    await sender.pour(b"X-Flood: y\r\n" * 1_000, 100_000 * 12)
    assert (await sender.say(b"\r\n.\r\n")).startswith(b"554")
    sender.close()


async def _recipients(provider: Provider) -> None:
    sender = await Sender.connect(provider)
    await sender.say(b"MAIL FROM:<a@remote.example>\r\n")
    with contextlib.suppress(ConnectionError):
        for start in range(0, 5_000, 100):
            sender.writer.write(b"".join(b"RCPT TO:<u%d@demo.example>\r\n" % i for i in range(start, start + 100)))
            for _ in range(100):
                if not await sender.reply():
                    return
    sender.close()


async def _idle(provider: Provider) -> None:
    senders = []
    for _ in range(IDLE // 100):
        senders += await asyncio.gather(*(Sender.connect(provider) for _ in range(100)))
    await lasts(1)
    for sender in senders:
        sender.close()


async def _drip(provider: Provider) -> None:
    senders = [await Sender.connect(provider) for _ in range(20)]
    for sender in senders[:10]:
        await sender.data()
    for _ in range(DRIPS):
        for sender in senders:
            sender.writer.write(b"x")
        await lasts(DRIP)
    for sender in senders:
        sender.close()


FLOODS: dict[str, tuple[Callable[[Provider], Awaitable[None]], int]] = {
    "300 MiB without a line end": (_no_line_end, 1),
    "32 MiB of empty lines": (_empty_lines, 1),
    "100,000 header lines": (_header_lines, 1),
    "5,000 recipients": (_recipients, 1),
    "2,000 idle connections": (_idle, IDLE),
    "a byte every 5 s": (_drip, 20),
}


async def flood(provider: Provider, what: str) -> Felt:
    """One flood, while another client is watched."""
    run, sessions = FLOODS[what]
    async with _watching(provider, sessions) as felt:
        await run(provider)
    return felt
