"""A whole provider in processes of its own, and a plain connection to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from localserve.layout import Ports, temporary_root
from localserve.provider import Provider
from localserve.provision import provision
from tests.waiting import until


@asynccontextmanager
async def running(**settings: str) -> AsyncIterator[Provider]:
    """A provider on free ports with the demo customer; gone afterwards. Settings are added to every service."""
    with temporary_root("odmr-flow-") as root:
        provider = Provider(root, Ports(0, 0, 0, 0, 0), extra_env={"ODMR_SWEEP_SECONDS": "0.2", **settings})
        try:
            await provider.start()
            await provision(provider)
            yield provider
        finally:
            await provider.stop()


class SocketLine:
    """A connection as a dialogue sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float = 20.0) -> None:
        self._reader = reader
        self._writer = writer
        self._seconds = seconds

    async def send(self, data: bytes) -> None:
        """Says it."""
        self._writer.write(data)
        await self._writer.drain()

    async def read_line(self) -> bytes | None:
        """The next line; None at the end."""
        async with asyncio.timeout(self._seconds):
            try:
                return await self._reader.readline() or None
            except ConnectionError:
                return None

    async def close(self) -> None:
        """Hangs up."""
        self._writer.close()


async def database(provider: Provider) -> "asyncpg.Connection[asyncpg.Record]":
    """A look into the spool."""
    return await asyncpg.connect(provider.database_url)


async def settled(provider: Provider) -> None:
    """Returns when nothing is queued or leased: what was sent and is not committed yet would come again after a fault."""
    connection = await database(provider)

    async def nothing_waits() -> bool:
        return not await connection.fetchval("SELECT count(*) FROM recipients WHERE state IN ('queued', 'leased')")

    try:
        await until(nothing_waits, 30, "everything delivered is settled")
    finally:
        await connection.close()
