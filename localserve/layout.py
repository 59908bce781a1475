"""Where things lie in the data folder, the ports, and the secrets made at the first start."""

import atexit
import base64
import contextlib
import fcntl
import functools
import itertools
import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

SERVICES: Final = ("auth", "inbound", "odmr", "outbound", "api")


class CannotStart(Exception):
    """One sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the provider listens on 127.0.0.1; 0 takes a free one."""

    smtp: int = 2525
    odmr: int = 3366
    odmr_tls: int = 3367
    api: int = 8025
    odmr_certificate: int = 3368

    def resolved(self) -> "Ports":
        """The same with free ports for 0. Raises CannotStart for one that is taken."""
        return Ports(
            _port(self.smtp, "SMTP", "--smtp") if self.smtp else free_port(),
            _port(self.odmr, "ODMR", "--odmr") if self.odmr else free_port(),
            _port(self.odmr_tls, "ODMR with TLS", "--odmr-tls") if self.odmr_tls else free_port(),
            _port(self.api, "HTTP", "--api") if self.api else free_port(),
            _port(self.odmr_certificate, "ODMR with a certificate", "--odmr-certificate")
            if self.odmr_certificate
            else free_port(),
        )


def free_port() -> int:
    """A port that nobody listens on now.

    From a block that this process alone has, below those that the kernel gives to outgoing connections: between this
    look and the bind of a child, neither another provider nor a client's own end takes it. Raises CannotStart.
    """
    for number in _block():
        with contextlib.suppress(CannotStart):
            return _port(number)
    raise CannotStart("No port is free on 127.0.0.1")


#: Blocks of ports for `free_port`; Linux gives outgoing connections those from 32,768 on (ip_local_port_range).
_FIRST_PORT: Final = 10_000
_BLOCKS: Final = 40
_BLOCK: Final = 500


@functools.cache
def _block() -> Iterator[int]:
    """This process's ports. Who has a block's first port bound has the block, until it ends."""
    for first in range(_FIRST_PORT, _FIRST_PORT + _BLOCKS * _BLOCK, _BLOCK):
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", first))
        except OSError:
            claim.close()
            continue
        atexit.register(claim.close)
        return itertools.cycle(range(first + 1, first + _BLOCK))
    raise CannotStart(f"All {_BLOCKS} blocks of ports from {_FIRST_PORT} on are in use on 127.0.0.1")


def _port(port: int, what: str = "", option: str = "") -> int:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            raise CannotStart(
                f"Port {port} ({what}) is taken: stop what listens on 127.0.0.1:{port}, or choose another with {option}"
            ) from None
        return int(sock.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Layout:
    """The data folder."""

    root: Path

    def prepare(self) -> None:
        """Makes the folders."""
        self.root.mkdir(parents=True, exist_ok=True)
        for name in ("logs", "pids", "nats", "tls"):
            (self.root / name).mkdir(exist_ok=True, mode=0o700)

    def lock(self) -> IO[str]:
        """Holds the folder for this process while the file is open. Raises CannotStart."""
        file = (self.root / "lock").open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise CannotStart(f"{self.root} is in use: another provider runs there; stop it first") from None
        return file

    def log(self, name: str) -> Path:
        """A program's log."""
        return self.root / "logs" / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        """A program's process id, for who wants to stop it."""
        return self.root / "pids" / f"{name}.pid"

    @property
    def demo_env(self) -> Path:
        """KEY=value for a shell: how to reach the demo customer."""
        return self.root / "demo.env"

    def write_private(self, path: Path, text: str) -> None:
        """Writes a file that only its owner reads, all at once."""
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        draft.replace(path)


@contextmanager
def temporary_root(prefix: str) -> Iterator[Path]:
    """A data folder that is gone afterwards. Others may pass through it: PostgreSQL runs as nobody when we are root."""
    root = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        root.chmod(0o711)
        yield root
    finally:
        postgres = root / "postgres"
        if postgres.is_symlink():
            shutil.rmtree(postgres.resolve(), ignore_errors=True)
        shutil.rmtree(root, ignore_errors=True)


def new_seal_key() -> str:
    """32 random octets in base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode("ascii")


@dataclass(slots=True)
class Secrets:
    """Everything random that must stay the same over restarts; lies in secrets.json, mode 600."""

    database: str = field(repr=False)
    seal_key: str = field(repr=False)
    api_key: str = field(repr=False)
    nats: dict[str, str] = field(repr=False)
    demo_user: str = ""
    demo_secret: str = field(default="", repr=False)
    api_seal_key: str = field(default_factory=new_seal_key, repr=False)

    @classmethod
    def load(cls, layout: Layout) -> "Secrets":
        """Those of the last start, or new ones."""
        path = layout.root / "secrets.json"
        if path.is_file():
            known = cls(**json.loads(path.read_text()))
            known.save(layout)  # with what an older version did not have
            return known
        made = cls(
            database=secrets.token_hex(16),
            seal_key=new_seal_key(),
            api_key=f"odmr_local_{secrets.token_urlsafe(32)}",
            nats={service: secrets.token_hex(16) for service in SERVICES},
        )
        made.save(layout)
        return made

    def save(self, layout: Layout) -> None:
        """Keeps them."""
        values = {name: getattr(self, name) for name in self.__slots__}
        layout.write_private(layout.root / "secrets.json", json.dumps(values, indent=1))
