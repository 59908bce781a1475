"""inbound in this process, on a real PostgreSQL, with a bus that remembers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from services.inbound.parts import Connections, Parts
from services.inbound.quotas import Quotas
from services.inbound.server import factory
from shared.clock import Clock
from shared.protocol.grammar import Path
from shared.storage.accept import Acceptor
from shared.storage.engine import Pool
from shared.storage.hosted import HostedDomains
from shared.storage.uploads import Uploads
from tests.storage.seeding import seed

MAX_MESSAGE = 4 * 1024 * 1024


@dataclass
class RecordingBus:
    """Never fails, and always remembers everything."""

    published: list[str] = field(default_factory=list)

    async def publish(self, subject: str, data: bytes = b"") -> None:
        """Remembers it."""
        self.published.append(subject)


@dataclass
class Inbound:
    """A running server."""

    port: int
    pool: Pool
    bus: RecordingBus
    parts: Parts
    peers: list["Peer"] = field(default_factory=list)

    async def stored(self) -> list[tuple[str, list[str], bytes]]:
        """Reverse-path, forward-paths and content of every message, in order."""
        rows = await self.pool.fetch("SELECT id, reverse_path FROM messages ORDER BY id")
        stored = []
        for row in rows:
            paths = await self.pool.fetch(
                "SELECT forward_path FROM recipients WHERE message_id = $1 ORDER BY id", row["id"]
            )
            chunks = await self.pool.fetch("SELECT bytes FROM content WHERE message_id = $1 ORDER BY seq", row["id"])
            stored.append(
                (
                    row["reverse_path"],
                    [path["forward_path"] for path in paths],
                    b"".join(chunk["bytes"] for chunk in chunks),
                )
            )
        return stored


@pytest.fixture
async def inbound(database_url: str, pool: Pool) -> AsyncIterator[Inbound]:
    """Takes mail for demo.example and other.example."""
    await seed(database_url, "demo.example")
    await seed(database_url, "other.example")
    acceptor, bus = Acceptor(pool), RecordingBus()
    acceptor.start()
    parts = Parts(
        "mx.provider.example", MAX_MESSAGE, acceptor, Uploads(pool), HostedDomains(pool), Quotas(HostedDomains(pool), Clock()), bus, Clock(), Connections(),
        postmaster=Path("boss", "demo.example"),
    )  # fmt: skip
    server = await asyncio.get_running_loop().create_server(factory(parts), "127.0.0.1", 0)
    made = Inbound(server.sockets[0].getsockname()[1], pool, bus, parts)
    yield made
    for peer in made.peers:
        peer.close()
    server.close()
    parts.connections.shut_down()
    await parts.connections.ended(5)
    await acceptor.close()


class Peer:
    """A sender that says exactly what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, inbound: Inbound, hello: bytes = b"EHLO remote.example\r\n") -> "Peer":
        """Connected, and past EHLO."""
        peer = cls(*await asyncio.open_connection("127.0.0.1", inbound.port))
        inbound.peers.append(peer)
        assert (await peer.reply()).startswith(b"220 mx.provider.example ESMTP")
        if hello:
            peer.writer.write(hello)
            await peer.reply()
        return peer

    async def reply(self) -> bytes:
        """The next whole reply; b"" at the end."""
        async with asyncio.timeout(20):
            lines = b""
            while True:
                line = await self.reader.readline()
                lines += line
                if not line or line[3:4] != b"-":
                    return lines

    async def say(self, data: bytes) -> bytes:
        """One command, one reply."""
        self.writer.write(data + b"\r\n")
        return await self.reply()

    async def envelope(self, *forward_paths: str, reverse_path: str = "a@remote.example") -> None:
        """MAIL, RCPT, DATA, up to the 354."""
        assert (await self.say(f"MAIL FROM:<{reverse_path}>".encode())).startswith(b"250 ")
        for path in forward_paths or ("u@demo.example",):
            assert (await self.say(f"RCPT TO:<{path}>".encode())).startswith(b"250 ")
        assert (await self.say(b"DATA")).startswith(b"354 ")

    async def send(self, content: bytes, *forward_paths: str) -> bytes:
        """A whole transaction; `content` is as on the wire, without the end of data."""
        await self.envelope(*forward_paths)
        self.writer.write(content + b".\r\n")
        return await self.reply()

    def close(self) -> None:
        """Hangs up."""
        self.writer.close()
