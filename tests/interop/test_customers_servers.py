"""The connector in front of mail servers that know no ODMR: Postfix on a port, Exim as a command. R102, R106."""

import sys
from collections.abc import AsyncIterator

import pytest

from localserve.provider import HERE, Provider
from tests.flows.customer import finish
from tests.flows.filling import fill
from tests.flows.live import database, running, settled
from tests.flows.sender import DOMAIN
from tests.interop.servers import Server, exim, postfix

pytestmark = [pytest.mark.xdist_group("interop"), pytest.mark.timeout(180)]
MANY = 500


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running() as provider:
        yield provider


async def fetch_into(provider: Provider, server: Server, names: list[str]) -> int:
    """Fills the queue and has the connector hand it over; each message once and in order. Gives how many sessions it took."""
    await fill(provider, names, [DOMAIN])
    secret = provider.layout.root / "demo.secret"
    provider.layout.write_private(secret, provider.secrets.demo_secret)
    connection = await database(provider)
    before = await connection.fetchval("SELECT count(*) FROM sessions")
    result = await finish(
        sys.executable, "-m", "connector", "once", "--provider", f"localhost:{provider.ports.odmr}",
        "--ca-file", str(provider.ca_file), "--user", provider.secrets.demo_user, "--secret-file", str(secret),
        "--deliver", server.deliver, cwd=HERE,
    )  # fmt: skip
    assert result.exit == 0, result.said
    assert await server.took(len(names)) == names
    await settled(provider)
    sessions = await connection.fetchval("SELECT count(*) FROM sessions") - before
    await connection.close()
    return int(sessions)


async def test_postfix_takes_what_waits(provider: Provider) -> None:
    """By PIPELINING and CHUNKING, which it offers; R98: and by its own words alone."""
    async with postfix() as server:
        assert await fetch_into(provider, server, [f"postfix-{i}" for i in range(MANY)]) == 1


async def test_exim_takes_what_waits(provider: Provider) -> None:
    async with exim() as server:
        assert await fetch_into(provider, server, [f"exim-{i}" for i in range(MANY)]) == 1


async def test_exim_that_has_enough_is_called_again(provider: Provider) -> None:
    """Its smtp_accept_max_per_connection ends a batch with 421."""
    async with exim(most=100) as server:
        assert await fetch_into(provider, server, [f"batch-{i}" for i in range(350)]) == 4
