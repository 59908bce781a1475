"""What the containers of docker-compose.yml need and nobody should write by hand: passwords, keys, certificates.

A one-shot container runs this before the others, with a volume for each of them; what is there already stays. Each service
mounts its own volume only, so that nobody but auth has the key that opens secrets.
"""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from localserve import certificates
from localserve.layout import SERVICES, Layout, new_seal_key
from shared.bus.connection import allowed_users
from shared.bus.subjects import ALLOWED
from shared.clock import Clock

#: Names and ports inside the compose network.
DATABASE_HOST: Final = "postgres:5432"
NATS_HOST: Final = "nats:4222"


class Differs(Exception):
    """A sentence: a key that secrets are sealed under is another one than what was told."""


def hand_out(root: Path, hostname: str, told: Mapping[str, str]) -> None:
    """Writes each volume below `root`: postgres, nats, one a service, and the demo's. `told` is the environment: keys that
    are in it are taken (`make env` writes them), the others made. Raises Differs."""
    for name in ("postgres", "nats", "demo", *SERVICES):
        (root / name).mkdir(parents=True, exist_ok=True)
    password = _once(root / "postgres" / "password", secrets.token_hex(24))
    pgpass = root / "postgres" / "pgpass"
    pgpass.touch(0o600)
    pgpass.write_text(f"{DATABASE_HOST}:*:odmr:{password}\n")
    nats = {service: _once(root / "nats" / f"{service}.password", secrets.token_hex(24)) for service in SERVICES}
    users = allowed_users({service: (service, nats[service]) for service in SERVICES}, ALLOWED)
    configuration = {"listen": "0.0.0.0:4222", "http": "127.0.0.1:8222", "authorization": {"users": users}}
    (root / "nats" / "nats.conf").write_text(json.dumps(configuration, indent=1))
    for service in SERVICES:
        (root / service / "database_url").write_text(f"postgresql://odmr:{password}@{DATABASE_HOST}/odmr")
        (root / service / "nats_url").write_text(f"nats://{service}:{nats[service]}@{NATS_HOST}")
    _key(root / "auth" / "seal_key", "ODMR_SEAL_KEY", told)
    _key(root / "api" / "api_seal_key", "ODMR_API_SEAL_KEY", told)
    operator_key = root / "api" / "operator_key"
    _once(operator_key, f"odmr_operator_{secrets.token_urlsafe(32)}")
    if told.get("ODMR_OPERATOR_KEY"):
        operator_key.write_text(told["ODMR_OPERATOR_KEY"])
    for service in ("inbound", "odmr"):
        _certificate(root / service, hostname)
    shutil.copyfile(root / "odmr" / "tls" / "ca.pem", root / "demo" / "ca.pem")


def _key(path: Path, name: str, told: Mapping[str, str]) -> None:
    kept = _once(path, told.get(name) or new_seal_key())
    if told.get(name, kept) not in ("", kept):
        raise Differs(
            f"{name} is another one than secrets here are sealed under, and without that they are lost: "
            f"take it out of .env, or put what {path} holds there"
        )


def _once(path: Path, value: str) -> str:
    """The value that the file has, or from now on has. Its volume is what keeps it from others."""
    if not path.is_file():
        draft = path.with_name(f"{path.name}.new")  # a machine that stops here leaves no half of a key
        with draft.open("w") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())  # else the name may outlive a power cut that the octets do not
        draft.replace(path)
    return path.read_text()


def _certificate(folder: Path, hostname: str) -> None:
    """One of a CA of our own, until the operator mounts a real one over it."""
    layout = Layout(folder)
    layout.prepare()
    _, _, key = certificates.prepare(layout, Clock(), hostname)
    (folder / "tls").chmod(0o755)
    key.chmod(0o644)
