"""client/ is what docs/openapi.json says: nobody has written in it by hand, and nothing of the API is missing."""

import json
import subprocess
import sys
from pathlib import Path

from localserve.provider import HERE

#: A stream is read with any library for Server-Sent Events.
NOT_IN_IT = {"stream_events"}


def test_it_is_as_it_would_be_written_now(tmp_path: Path) -> None:
    ruff = str(Path(sys.executable).with_name("ruff"))
    subprocess.run([sys.executable, "tools/write_client.py", str(tmp_path)], cwd=HERE, check=True)
    options = ["--config", str(HERE / "pyproject.toml"), str(tmp_path)]
    for command in (["format", "-q"], ["check", "-q", "--fix"], ["format", "-q"]):
        subprocess.run([ruff, *command, *options], check=True)
    written = sorted(tmp_path.glob("*.py"))
    assert written
    for file in written:
        assert (HERE / "client" / file.name).read_text() == file.read_text(), f"{file.name}: run make openapi"


def test_every_operation_is_a_function() -> None:
    spec = json.loads((HERE / "docs" / "openapi.json").read_text())
    wanted = {operation["operationId"] for verbs in spec["paths"].values() for operation in verbs.values()}
    sources = "".join(file.read_text() for file in (HERE / "client").glob("*.py"))
    assert {name for name in wanted if f"def {name}(" not in sources} == NOT_IN_IT
