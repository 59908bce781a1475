"""The API is what its description says: schemathesis, which nobody here wrote. `make show-4` asks twenty times as many."""

from pathlib import Path

import pytest

from tests.flows.live import running
from tests.flows.sender import Ledger, send_all
from tests.services.api.described import describe
from tests.services.outbound.strangers import names

SETTINGS = {"ODMR_API_REQUESTS_PER_SECOND": "0", "ODMR_WEBHOOK_ALLOW": "127.0.0.1:1"}
pytestmark = [pytest.mark.xdist_group("described"), pytest.mark.timeout(700)]


async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    async with names({}) as dns, running(**SETTINGS, ODMR_DNS=dns) as provider:
        await send_all(provider.ports.smtp, ["one", "two"], Ledger(), 20)
        result = await describe(provider, tmp_path, 50, 1, 600)
    assert result.failures == 0, result.text[-6_000:]
    assert len(result.silent) <= result.operations / 10, result.silent
