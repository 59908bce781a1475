"""Live sessions: mail is pushed down a line that is open already. R62, R63."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from localserve.provider import Provider
from localserve.sink import Sink
from tests.flows.customer import start
from tests.flows.live import database, running, settled
from tests.flows.sender import Ledger, name_of, send_all
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("live"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running(ODMR_POLL_SECONDS="1", ODMR_LEASE_SECONDS="2") as provider:
        yield provider


@asynccontextmanager
async def live_connector(provider: Provider, sink: Sink, tls: str = "starttls") -> AsyncIterator[None]:
    """A connector on the line; returns when its session is turned."""
    connection = await database(provider)
    before = await connection.fetchval("SELECT count(*) FROM sessions")
    process = await start(provider, sink, command="run", options=("--live", "--every", "1"), tls=tls)

    async def is_turned() -> bool:
        return bool(await connection.fetchval("SELECT count(*) > $1 FROM sessions", before))

    try:
        await until(is_turned, 20)
        yield
        await settled(provider)  # else what was sent and not yet committed would come again
    finally:
        process.terminate()
        await process.communicate()

        async def is_over() -> bool:
            return not await connection.fetchval("SELECT count(*) FROM leases")

        await until(is_over, 20)
        await connection.close()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_mail_comes_while_the_line_is_open(provider: Provider, tls: str) -> None:
    async with Sink() as sink, live_connector(provider, sink, tls):
        for i in range(5):
            await send_all(provider.ports.smtp, [f"{tls}-{i}"], Ledger(), 20)
            await sink.wait_for(i + 1, 10)
        assert [name_of(message.content) for message in sink.messages] == [f"{tls}-{i}" for i in range(5)]


async def test_without_the_bus_the_poll_finds_it(provider: Provider) -> None:
    """K4, N1: a wake-up that is lost costs a poll's time, and nothing else."""
    async with Sink() as sink, live_connector(provider, sink):
        pid = provider.child("nats").pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            await send_all(provider.ports.smtp, ["no wake-up"], Ledger(), 20)
            await sink.wait_for(1, 20)
        finally:
            os.kill(pid, signal.SIGCONT)
    await provider.auth_answers()


async def test_a_local_server_that_dies_is_called_again(provider: Provider) -> None:
    """The connector's line breaks, it calls anew, and nothing is lost."""
    async with Sink() as sink, live_connector(provider, sink):
        port = sink.port
        await send_all(provider.ports.smtp, ["one"], Ledger(), 20)
        await sink.wait_for(1, 10)
        await settled(provider)
        odmr = provider.child("odmr")
        starts, pid = odmr.starts, odmr.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        async def is_back() -> bool:
            return odmr.starts > starts

        await until(is_back, 20)
        await send_all(provider.ports.smtp, ["two"], Ledger(), 20)
        await sink.wait_for(2, 30)
        assert port == sink.port and [name_of(message.content) for message in sink.messages] == ["one", "two"]


async def test_sigterm_ends_a_live_session_with_quit(provider: Provider) -> None:
    """K10: the drain of an idle live session takes no time."""
    async with Sink() as sink, live_connector(provider, sink):
        began = asyncio.get_running_loop().time()
        await provider.restart("odmr")
        assert asyncio.get_running_loop().time() - began < 15
        connection = await database(provider)
        why = await connection.fetchval(
            "SELECT why_ended FROM sessions WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 1"
        )
        await connection.close()
        assert why == "QUIT"
