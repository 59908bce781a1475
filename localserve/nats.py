"""A real nats-server from its wheel. Core NATS: nothing of it is kept; a user a service, each with its allow-list."""

import json
import shutil
import sys
from pathlib import Path

from localserve.children import Program
from localserve.layout import CannotStart, Layout
from shared.bus.connection import allowed_users
from shared.bus.subjects import ALLOWED


def program(layout: Layout, port: int, passwords: dict[str, str]) -> Program:
    """Writes the configuration, which holds passwords, and gives the command. Raises CannotStart."""
    binary = Path(sys.executable).with_name("nats-server")
    found = str(binary) if binary.is_file() else shutil.which("nats-server")
    if found is None:
        raise CannotStart("nats-server is not installed: run `make setup`, which installs requirements/local.txt")
    users = allowed_users({service: (service, password) for service, password in passwords.items()}, ALLOWED)
    path = layout.root / "nats" / "nats.conf"
    configuration = {"listen": f"127.0.0.1:{port}", "authorization": {"users": users}, "max_payload": 1 << 20}
    layout.write_private(path, json.dumps(configuration, indent=1))
    return Program("nats", [str(Path(found).absolute()), "-c", str(path.resolve())], {})


def url(service: str, password: str, port: int) -> str:
    """Where a service finds the server, as itself."""
    return f"nats://{service}:{password}@127.0.0.1:{port}"
