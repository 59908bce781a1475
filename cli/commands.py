"""The commands: those that start something, and the nouns of the HTTP API (cli.nouns)."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from cyclopts import App

from cli.api import ask
from cli.billing import NOUNS as BILLING
from cli.credentials import credential
from cli.nouns import NOUNS
from cli.showing import AsJson, show
from client import whoami as whoami_of
from shared import VERSION

app = App(name="odmr", version=VERSION, help="The On-Demand Mail Relay provider.")
db = App(name="db", help="The database.")
for group in (*BILLING, *NOUNS, credential, db):
    app.command(group)


@app.command
def up(
    root: Path = Path(".local"),
    *,
    smtp: int = 2525,
    odmr: int = 3366,
    odmr_tls: int = 3367,
    odmr_certificate: int = 3368,
    api: int = 8025,
) -> int:
    """Runs the whole provider on this machine until Ctrl-C, with its data in ROOT. Port 0 takes a free one."""
    from localserve.layout import Ports
    from localserve.run import serve

    return asyncio.run(serve(root, Ports(smtp, odmr, odmr_tls, api, odmr_certificate)))


@app.command
def demo() -> int:
    """One trip of real mail through the whole provider, every octet compared. Leaves nothing running."""
    from localserve.demo import demo as run_demo

    return asyncio.run(run_demo())


@app.command
def quickstart(
    domain: str,
    *,
    name: str = "",
    client: Literal["connector", "fetchmail", "exim", "mdaemon"] = "connector",
    save: Path | None = None,
) -> None:
    """A customer for DOMAIN in one step: prints the DNS records to paste, the secret once, and the customer's file.

    With --save the secret and the file go into that folder instead, readable by you alone.
    """
    from cli.start import quickstart as make

    make(domain, name, client, save)


@app.command
def sink(*, listen: str = "127.0.0.1:2525") -> int:
    """A mail server that takes everything, prints what came and keeps nothing: to try a connector against."""
    from localserve.sink import print_for_ever

    return asyncio.run(print_for_ever(listen))


@app.command
def doctor(*, smtp: str = "", odmr: str = "", as_json: AsJson = False) -> int:
    """Says what is wrong and what to type; --smtp and --odmr HOST:PORT call the ports, too. Ends with 1 if something is."""
    from cli.doctor import look

    findings = list(look(smtp, odmr))
    wrong = [one for one in findings if one.why]
    if as_json:
        print(json.dumps([asdict(one) for one in findings], indent=1))
    else:
        for one in findings:
            print(f"WRONG  {one.what}: {one.why}\n       {one.type_this}" if one.why else f"ok     {one.what}")
        print(f"{len(findings)} looked at, {len(wrong)} wrong")
    return 1 if wrong else 0


@app.command
def whoami(*, as_json: AsJson = False) -> None:
    """The key in use, and the version that answers."""
    show(ask(whoami_of.whoami()), as_json)


@db.command(name="upgrade")
def db_upgrade() -> int:
    """Brings the database at ODMR_DATABASE_URL to this version's schema.

    With ODMR_OPERATOR_KEY (or _FILE) set, that key speaks for the operator from now on.
    """
    from cli.database import upgrade

    return asyncio.run(upgrade())


@db.command(name="backup")
def db_backup(file: Path) -> int:
    """Writes the database at ODMR_DATABASE_URL to FILE, as it is at one moment; services may run on.

    Keep ODMR_SEAL_KEY and ODMR_API_SEAL_KEY beside it: without them every credential in it is lost.
    """
    from cli.backup import backup

    return backup(file)


@db.command(name="restore")
def db_restore(file: Path) -> int:
    """Loads the backup FILE into the database at ODMR_DATABASE_URL, which must be empty, and brings it to this version.

    Mail that was delivered since the backup is delivered again; with our connector, which remembers, it is not.
    """
    from cli.backup import restore

    return restore(file)


@app.command
def health() -> int:
    """Asks the service of this container whether it is ready; 0 when it is."""
    from cli.health import is_ready

    return 0 if is_ready() else 1


@app.command(name="hand-out", show=False)
def hand_out(root: Path, *, hostname: str = "localhost") -> int:
    """Makes the secrets of docker-compose.yml, one folder a container."""
    from localserve.compose import Differs
    from localserve.compose import hand_out as make
    from shared.config import environment
    from shared.program import EX_CONFIG

    try:
        make(root, hostname, environment())
    except Differs as error:
        sys.stderr.write(f"{error}\n")
        return EX_CONFIG
    return 0
