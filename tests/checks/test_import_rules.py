"""Each import contract is planted with a violation, and is seen to catch it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from localserve.provider import HERE

PACKAGES = ("cli", "localserve", "services", "connector", "shared", "client")

PLANTED = [
    ("layers", "shared/protocol/wire.py", "import shared.domain.names"),
    ("layers", "shared/storage/hosted.py", "import shared.bus.subjects"),
    ("layers", "connector/dial.py", "import services.odmr.listener"),
    ("services meet on the bus and in the spool", "services/api/access.py", "import services.auth.seal"),
    ("protocol and domain are pure", "shared/domain/retry.py", "import time"),
    ("protocol and domain are pure", "shared/protocol/sender.py", "import asyncio"),
    ("idna is for domain names", "shared/protocol/grammar.py", "import idna"),
    ("the connector stands on the standard library", "connector/settings.py", "import shared.config"),
    ("the client stands alone", "client/request.py", "import shared.clock"),
    ("SQL lives in shared.storage", "services/odmr/delivery.py", "import asyncpg"),
    ("NATS lives in shared.bus", "services/auth/responder.py", "import nats"),
    ("DNS lives in shared.resolve", "services/outbound/route.py", "import dns"),
    ("HTTP lives in services.api", "services/odmr/app.py", "import fastapi"),
    ("aiosmtpd lives in services.inbound", "localserve/sink.py", "import aiosmtpd"),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(HERE / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HERE / "pyproject.toml", root)
    return root


def _lint(root: Path) -> str:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, env={**_environment(), "PYTHONPATH": str(root)}
    )
    return done.stdout + done.stderr


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}  # noqa: TID251


def test_the_tree_as_it_is_keeps_every_contract(tree: Path) -> None:
    said = _lint(tree)
    assert "0 broken" in said, said


@pytest.mark.parametrize(("contract", "file", "line"), PLANTED)
def test_a_planted_violation_is_caught(tree: Path, contract: str, file: str, line: str) -> None:
    path = tree / file
    text = path.read_text()
    try:
        path.write_text(f"{text}\n{line}  # planted\n")
        assert f"{contract} BROKEN" in _lint(tree)
    finally:
        path.write_text(text)


def test_every_contract_has_a_plant() -> None:
    names = {
        line.split('"')[1]
        for line in (HERE / "pyproject.toml").read_text().splitlines()
        if line.startswith('name = "') and "odmr" not in line
    }
    assert names == {contract for contract, _, _ in PLANTED}
