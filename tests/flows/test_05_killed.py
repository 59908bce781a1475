"""kill -9 of each program at named moments: everything that got 250 arrives. `make show-1` runs all pairs."""

from collections.abc import AsyncIterator

import pytest

from localserve.provider import Provider
from tests.flows.killing import SETTINGS, kill_round
from tests.flows.live import running

pytestmark = [pytest.mark.xdist_group("killed"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running(**SETTINGS) as provider:
        yield provider


@pytest.mark.parametrize(
    ("victim", "moment"),
    [
        ("inbound", "accept, before the commit"),
        ("inbound", "accept, after the commit"),
        ("inbound", "accept, after the 250"),
        ("postgres", "accept, before the commit"),
        ("odmr", "lease"),
        ("odmr", "DATA"),
        ("odmr", "the dot"),
        ("odmr", "after the customer's 250"),
        ("odmr", "settle"),
        ("connector", "MAIL"),
        ("connector", "the dot"),
        ("postgres", "after the customer's 250"),
        ("nats", "MAIL"),
        ("auth", "DATA"),
        ("outbound", "settle"),
    ],
)
async def test_what_got_250_arrives(provider: Provider, victim: str, moment: str) -> None:
    """R52: and at most what was not committed comes twice."""
    await kill_round(provider, victim, moment)
