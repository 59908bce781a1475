"""What happened, one JSON line each, on disk before anything follows from it."""

import json
import os
import time
from pathlib import Path
from typing import Any


class Ledger:
    """Written by one side alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, **entry: Any) -> None:
        """Returns when it is durable. `at` is added, in seconds that never go back."""
        os.write(self._file, json.dumps({"at": time.monotonic(), **entry}).encode() + b"\n")
        os.fdatasync(self._file)

    def close(self) -> None:
        """Written to no more."""
        os.close(self._file)


def read(path: Path) -> list[dict[str, Any]]:
    """All entries, in order."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
