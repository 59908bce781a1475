"""A database that is slow, or that somebody has locked: senders wait or hear 451, and nothing is kept in memory. P8."""

import asyncio
import contextlib
from dataclasses import replace

from services.inbound.quotas import Quotas
from services.inbound.server import factory
from shared.clock import Clock
from shared.storage.accept import Acceptor
from shared.storage.engine import create_pool
from shared.storage.hosted import HostedDomains
from shared.storage.uploads import Uploads
from tests.services.inbound.conftest import Inbound, Peer
from tests.waiting import lasts

#: Seconds that each word of the database's is held back.
DELAY = 0.2


async def _slow(port: int) -> asyncio.Server:
    """Passes octets to the database's port, and its own words on only after DELAY."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await lasts(delay)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours, theirs = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, theirs, 0), pump(ours, writer, DELAY))

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def test_p8_a_slow_database_makes_senders_wait(inbound: Inbound, database_url: str) -> None:
    port = int(database_url.rpartition(":")[2].partition("/")[0])
    server = await _slow(port)
    pool = await create_pool(database_url.replace(f":{port}/", f":{server.sockets[0].getsockname()[1]}/"), size=2)
    acceptor = Acceptor(pool)
    acceptor.start()
    slow = HostedDomains(pool)
    parts = replace(inbound.parts, acceptor=acceptor, uploads=Uploads(pool), hosted=slow, quotas=Quotas(slow, Clock()))
    listening = await asyncio.get_running_loop().create_server(factory(parts), "127.0.0.1", 0)
    one = replace(inbound, port=listening.sockets[0].getsockname()[1])
    peers = [await Peer.connect(one) for _ in range(8)]
    replies = await asyncio.gather(*(peer.send(b"x\r\n") for peer in peers))
    assert all(reply.startswith((b"250 ", b"451 ")) for reply in replies) and any(
        x.startswith(b"250 ") for x in replies
    )
    assert len(await inbound.stored()) == sum(reply.startswith(b"250 ") for reply in replies)
    listening.close()
    for peer in peers:
        peer.close()
    await acceptor.close()
    await pool.close()
    server.close()


async def test_p8_a_table_that_is_locked_is_451_and_then_250(inbound: Inbound) -> None:
    """The statement's time runs out, the sender keeps its mail, and the next one is stored once."""
    peer = await Peer.connect(inbound)
    async with inbound.pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
            assert (await peer.send(b"Subject: 1\r\n\r\nx\r\n")).startswith(b"451 4.3.0 ")
    assert (await peer.send(b"Subject: 2\r\n\r\nx\r\n")).startswith(b"250 ")
    assert len(await inbound.stored()) == 1
