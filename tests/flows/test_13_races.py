"""X7, T12: two sessions on one queue, one of them stopped past its lease. `make show-3` runs a thousand such races."""

import pytest

from tests.flows.live import running
from tests.show.racing import SETTINGS, race

pytestmark = [pytest.mark.xdist_group("races"), pytest.mark.timeout(180)]


async def test_x7_a_session_that_was_frozen_past_its_lease_repeats_by_rule_alone() -> None:
    async with running(**SETTINGS) as provider:
        result = await race(provider, 20, 10)
    assert result.races >= 20 and not result.twice_with_ledger
