"""A billing system from the first payment to the last, and its figures when services die. `make show-4` kills under more mail."""

import pytest

from localserve.layout import free_port
from tests.flows.live import running
from tests.show.billing import flow, killed

pytestmark = [pytest.mark.xdist_group("billing"), pytest.mark.timeout(300)]


async def test_a_customer_from_the_first_payment_to_the_last() -> None:
    async with running() as provider:
        assert await flow(provider) > 20


async def test_usage_and_webhooks_hold_when_each_service_dies() -> None:
    port = free_port()
    async with running(ODMR_WEBHOOK_ALLOW=f"127.0.0.1:{port}", ODMR_LEASE_SECONDS="3") as provider:
        assert "none missing" in await killed(provider, port, 150)
