"""C1 whole: every octet, both ways, by FIN, RST and silence. Run by `make chaos`, not by `make test`."""

from pathlib import Path

import pytest

from tests.services.odmr.conftest import Factory
from tests.services.odmr.cutting import How, cut_all

pytestmark = pytest.mark.timeout(1_200)
#: Seconds of silence after which the provider gives a customer up.
LIMITS = {f"{name}_seconds": 0.4 for name in ("greeting", "mail", "rcpt", "data", "block", "dot", "idle")}


@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize("how", ["FIN", "RST", "silence"])
async def test_every_octet(odmr: Factory, tmp_path: Path, how: How, remembers: bool) -> None:
    limits = LIMITS if how == "silence" else {}
    async with odmr(max_sessions=100, **limits) as provider:
        cuts, twice = await cut_all(provider, tmp_path, (how,), 1, remembers=remembers)
        assert cuts > 1_000 and not (remembers and twice)
        print(f"\n{how}, {'with' if remembers else 'without'} a ledger: {cuts} cuts, {twice} came twice")
