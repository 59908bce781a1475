"""A session of three messages cut at every octet: with a ledger and without one, side by side, each in a process of its own."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from localserve.provider import HERE

FIGURE = re.compile(r"^\.?(\w+, with(?:out)? a ledger: .*)$", re.MULTILINE)
#: FIN, RST and silence, each with a ledger and without.
RUNS = 6


def cut_everywhere() -> tuple[bool, str]:
    """Whether all of it held; and the figures of each way of breaking, or what was wrong."""
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(_cut, ("True", "False")))
    said = "".join(one.stdout for one in done)
    figures = FIGURE.findall(said)
    if not any(one.returncode for one in done) and len(figures) == RUNS:
        return True, "; ".join(figures)
    wrong = [line[2:].strip() for line in said.splitlines() if line.startswith("E  ")]
    return False, "; ".join(wrong) or said[-600:]


def _cut(remembers: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "--tb=short", "tests/services/odmr/every_byte.py", "-k", remembers],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
