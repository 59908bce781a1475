"""schemathesis against a running API: what it finds, and which operations answered 2xx. For a test, and for `make show-4`."""

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localserve.provider import Provider
from localserve.provision import client

#: What a request of the right shape may get beside 2xx: it may name what is not there, contradict what is, or itself.
CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412"]
"""
#: It does not end by itself, and has tests of its own.
ENDLESS = "/v1/events/stream"


@dataclass(frozen=True, slots=True)
class Described:
    """What a run came to: requests, failures, operations, and those of them that never answered 2xx."""

    cases: int
    failures: int
    operations: int
    silent: frozenset[str]
    text: str


async def describe(
    provider: Provider, folder: Path, examples: int, seed: int, seconds: float, only: Sequence[str] = ()
) -> Described:
    """Every check on every operation with an operator's key, links followed. The same seed asks the same. `only` are options
    that leave something out."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    words = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(folder / "schemathesis.toml"), "run",
        f"http://127.0.0.1:{provider.ports.api}/openapi.json", "-H", f"Authorization: Bearer {provider.secrets.api_key}",
        "--checks", "all", "--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure",
        "--report", "har", "--report-dir", str(folder), "--no-color", "--exclude-path", ENDLESS, *only,
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *words, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode(errors="replace")
    async with client(provider) as api:
        paths = (await api.get("/openapi.json")).json()["paths"]
    operations = {f"{verb.upper()} {path}" for path, verbs in paths.items() if path != ENDLESS for verb in verbs}
    silent = operations - _answered(folder, list(paths))
    cases, failures = (re.search(pattern, text) for pattern in (r"(\d+) generated", r"generated, (\d+) found"))
    assert cases is not None, text[-2_000:]
    found = int(failures[1]) if failures else int(process.returncode != 0)
    return Described(int(cases[1]), found, len(operations), frozenset(silent), text)


def _answered(folder: Path, paths: list[str]) -> set[str]:
    """Operations that answered 2xx at least once, as the archive of the run tells."""
    entries = json.loads(next(folder.glob("har-*")).read_text())["log"]["entries"]
    forms = [
        (path, re.compile(re.sub(r"\{\w+\}", "[^/]+", path))) for path in sorted(paths, key=lambda p: p.count("{"))
    ]
    found = set()
    for entry in entries:
        if 200 <= entry["response"]["status"] < 300:
            asked = re.sub(r"^https?://[^/]+", "", entry["request"]["url"]).partition("?")[0]
            path = next((path for path, form in forms if form.fullmatch(asked)), "")
            found.add(f"{entry['request']['method']} {path}")
    return found
