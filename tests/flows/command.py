"""`odmr` as a process of its own, with nothing of this one's environment."""

import asyncio
import sys
from dataclasses import dataclass

from localserve.provider import HERE


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said."""

    exit: int
    out: str
    err: str


async def odmr(*words: str, **env: str) -> Said:
    """`odmr WORDS`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", *words, cwd=HERE, env={"PATH": "/usr/bin", "COLUMNS": "200", **env},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())
