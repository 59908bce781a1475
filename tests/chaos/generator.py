"""Senders as conforming MTAs: they keep a message until they hear 250, and write down all that they hear. RFC 5321 4.5.4.1."""

import asyncio
import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.protocol.dotstuff import ContentWriter
from tests.chaos.ledger import Ledger
from tests.waiting import lasts

#: Seconds for a reply, and until what was not taken is tried again.
REPLY_TIME = 20.0
RETRY_AFTER = 0.2
SENDERS = 8
#: Octets of a message that is larger than all that the sockets on its way hold (tcp_rmem and tcp_wmem: 6 and 4 MiB, twice), for a
#: customer whose connector dies in the middle of it.
CUT_SIZE = 24 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to send. Its name is its reverse-path's local part, so that all who see it know which it is."""

    name: str
    paths: tuple[str, ...]
    content: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """Of the content as it was sent."""
        return hashlib.sha256(self.content).hexdigest()


def make_mail(number: int, domains: list[str], cut: str, cut_every: int, seed: int) -> Mail:
    """Message `number` of a run: one to three recipients, some dots, now and then large, now and then one that is refused."""
    chance = random.Random(f"{seed}-{number}")
    name = f"m{number}"
    if cut and number % cut_every == cut_every - 1:
        line = b"z" * 70 + b"\r\n"
        return Mail(name, (f"u0@{cut}",), _header(name, "cut").encode() + line * (CUT_SIZE // len(line)))
    count = chance.choice((1, 1, 1, 2, 3))
    paths = tuple(f"u{i}@{chance.choice(domains)}" for i in range(count))
    kind = "refuse" if chance.random() < 0.05 else "drop" if chance.random() < 0.03 else "keep"
    lines = [
        chance.choice(("text " * chance.randint(1, 12), ".", "..", ".x", "")) for _ in range(chance.randint(1, 30))
    ]
    if chance.random() < 0.01:
        lines += ["z" * 70] * 6_000
    return Mail(name, paths, (_header(name, kind) + "\r\n".join((*lines, ""))).encode())


def _header(name: str, kind: str) -> str:
    return f"Message-ID: <{name}@remote.example>\r\nX-Chaos: {kind}\r\n\r\n"


class _Left(Exception):
    """The server closed, or said nothing: nobody knows what became of the message."""


class _Session:
    """One connection, used for many messages."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def say(self, data: bytes) -> tuple[int, str]:
        """A command or content, and the reply to it. Raises _Left."""
        try:
            async with asyncio.timeout(REPLY_TIME):
                if self._writer is None or self._reader is None:
                    self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
                    if (await self._reply(self._reader))[0] != 220:
                        raise _Left
                    self._writer.write(b"EHLO sender.example\r\n")
                    await self._reply(self._reader)
                self._writer.write(data)
                await self._writer.drain()
                return await self._reply(self._reader)
        except (OSError, TimeoutError, _Left):
            self.close()
            raise _Left from None

    async def _reply(self, reader: asyncio.StreamReader) -> tuple[int, str]:
        while True:
            line = (await reader.readline()).decode()
            if not line:
                raise _Left
            if line[3:4] != "-":
                return int(line[:3]), line[4:].strip()

    def close(self) -> None:
        """Hangs up; the next word opens a new connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


class Generator:
    """Sends numbered messages, each until it is acknowledged or refused for good."""

    #: That of the domains whose connectors die in the middle of a content; "" while nothing dies.
    cut = ""

    def __init__(self, port: int, domains: list[str], ledger: Ledger, seed: int, cut_every: int) -> None:
        """Of each so many messages one is such a large one."""
        self._port = port
        self._domains = domains
        self._ledger = ledger
        self._seed = seed
        self._cut_every = cut_every
        self._next = 0
        self.acked = 0

    async def send(self, *, until: Callable[[], bool], a_second: float = 0.0) -> None:
        """With SENDERS connections at once, until `until()`; at most `a_second` messages, if that is not 0."""
        await asyncio.gather(*(self._one_sender(until, a_second / SENDERS) for _ in range(SENDERS)))

    async def _one_sender(self, until: Callable[[], bool], a_second: float) -> None:
        session = _Session(self._port)
        while not until():
            mail = make_mail(self._next, self._domains, self.cut, self._cut_every, self._seed)
            self._next += 1
            self._ledger.write(name=mail.name, paths=mail.paths, sha256=mail.sha256)
            while not await self._try(session, mail):
                await lasts(RETRY_AFTER)
            self.acked += 1
            if a_second:
                await lasts(1 / a_second)
        session.close()

    async def _try(self, session: _Session, mail: Mail) -> bool:
        """One attempt; True when it is over for this message. After a refused envelope it says RSET, as an MTA does."""
        stage = "envelope"
        try:
            said = await session.say(f"MAIL FROM:<{mail.name}@remote.example> SIZE={len(mail.content)}\r\n".encode())
            for path in mail.paths:
                if said[0] == 250:
                    said = await session.say(f"RCPT TO:<{path}>\r\n".encode())
            if said[0] == 250:
                said = await session.say(b"DATA\r\n")
            if said[0] == 354:
                stage, writer = "content", ContentWriter()
                said = await session.say(writer.write(mail.content) + writer.finish())
            code, text = said
            found = re.search(r"queued as ([0-9a-f]{32})", text)
            self._ledger.write(name=mail.name, told=code, stage=stage, id=found[1] if found else "")
            if stage == "envelope" and code != 421:
                await session.say(b"RSET\r\n")
        except _Left:
            self._ledger.write(name=mail.name, told=0, stage=stage, id="")
            return False
        if code == 421:
            session.close()
        return code == 250 or code >= 500
