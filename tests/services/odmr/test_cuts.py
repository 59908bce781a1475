"""C1: a session of three messages cut at every 16th octet, both ways, by FIN. `make chaos` cuts at every octet, by all three."""

from pathlib import Path

import pytest

from tests.services.odmr.conftest import Factory
from tests.services.odmr.cutting import cut_all

#: Short, so that a customer that is silent is given up soon.
LIMITS = {f"{name}_seconds": 5.0 for name in ("greeting", "mail", "rcpt", "data", "block", "dot", "idle", "login")}


@pytest.mark.parametrize("remembers", [True, False])
async def test_c1_a_cut_anywhere_loses_nothing_and_repeats_by_rule(
    odmr: Factory, tmp_path: Path, remembers: bool
) -> None:
    """R51, R107: with the ledger nothing comes twice; without it only what was kept and not told."""
    async with odmr(max_sessions=100, **LIMITS) as provider:
        cuts, twice = await cut_all(provider, tmp_path, ("FIN",), 16, remembers=remembers)
        assert cuts > 80 and (not remembers or not twice)
