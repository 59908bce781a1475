"""The commands. Each is a call of the HTTP API, or starts something; `--json` prints what the API said."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from cli.api import call
from shared import VERSION

app = App(name="odmr", version=VERSION, help="The On-Demand Mail Relay provider.")
customer = App(name="customer", help="Whose mail it is.")
domain = App(name="domain", help="What mail is taken for.")
credential = App(name="credential", help="How a customer proves who it is.")
queue = App(name="queue", help="What waits.")
db = App(name="db", help="The database.")
for group in (customer, domain, credential, queue, db):
    app.command(group)

AsJson = Annotated[bool, Parameter(name="--json", negative="")]


def show(answer: dict[str, Any], as_json: bool) -> None:
    """For a program as JSON, for a person as a table."""
    if as_json:
        print(json.dumps(answer, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    rows = answer.get("data")
    table = Table(show_header=isinstance(rows, list))
    if isinstance(rows, list):
        for name in rows[0] if rows else ("(none)",):
            table.add_column(name)
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
    else:
        for name, value in answer.items():
            table.add_row(name, json.dumps(value) if isinstance(value, dict | list) else str(value))
    Console().print(table)


@app.command
def up(
    root: Path = Path(".local"), *, smtp: int = 2525, odmr: int = 3366, odmr_tls: int = 3367, api: int = 8025
) -> int:
    """Runs the whole provider on this machine until Ctrl-C, with its data in ROOT. Port 0 takes a free one."""
    from localserve.layout import Ports
    from localserve.run import serve

    return asyncio.run(serve(root, Ports(smtp, odmr, odmr_tls, api)))


@app.command
def demo() -> int:
    """One trip of real mail through the whole provider, every octet compared. Leaves nothing running."""
    from localserve.demo import demo as run_demo

    return asyncio.run(run_demo())


@app.command
def whoami(*, as_json: AsJson = False) -> None:
    """The key in use, and the version that answers."""
    show(call("GET", "/v1/whoami"), as_json)


@customer.command(name="create")
def customer_create(name: str, *, external_id: str | None = None, as_json: AsJson = False) -> None:
    """Makes a customer."""
    show(call("POST", "/v1/customers", {"name": name, "external_id": external_id}), as_json)


@customer.command(name="ls")
def customer_ls(*, limit: int = 20, as_json: AsJson = False) -> None:
    """Customers, newest first."""
    show(call("GET", f"/v1/customers?limit={limit}"), as_json)


@domain.command(name="create")
def domain_create(customer_id: str, name: str, *, as_json: AsJson = False) -> None:
    """Hosts a domain for a customer (cus_... or ext:...)."""
    show(call("POST", "/v1/domains", {"customer_id": customer_id, "name": name}), as_json)


@domain.command(name="ls")
def domain_ls(*, limit: int = 20, as_json: AsJson = False) -> None:
    """Domains, newest first."""
    show(call("GET", f"/v1/domains?limit={limit}"), as_json)


@credential.command(name="create")
def credential_create(customer_id: str, *, authcid: str | None = None, as_json: AsJson = False) -> None:
    """Makes a credential; its secret is shown this once."""
    show(call("POST", "/v1/credentials", {"customer_id": customer_id, "authcid": authcid}), as_json)


@queue.command(name="ls")
def queue_ls(domain_name: str, *, as_json: AsJson = False) -> None:
    """What waits for a domain, by state, and the oldest."""
    show(call("GET", f"/v1/domains/{domain_name}/queue"), as_json)


@db.command(name="upgrade")
def db_upgrade() -> int:
    """Brings the database at ODMR_DATABASE_URL to this version's schema.

    With ODMR_OPERATOR_KEY (or _FILE) set, that key speaks for the operator from now on.
    """
    from cli.database import upgrade

    return asyncio.run(upgrade())


@app.command
def health() -> int:
    """Asks the service of this container whether it is ready; 0 when it is."""
    from cli.health import is_ready

    return 0 if is_ready() else 1


@app.command(name="hand-out", show=False)
def hand_out(root: Path, *, hostname: str = "localhost") -> None:
    """Makes the secrets of docker-compose.yml, one folder a container."""
    from localserve.compose import hand_out as make

    make(root, hostname)
