"""Credentials, as commands: how a customer proves who it is."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from cli.api import ask, read_file, said
from cli.showing import AsJson, show
from client import credentials

credential = App(name="credential", help="How a customer proves who it is.")

Repeated = Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)]
Mechanism = Literal["SCRAM-SHA-256", "CRAM-MD5", "PLAIN"]
WhenEmpty = Literal["refuse", "turn", "live"]


@credential.command(name="create")
def credential_create(
    customer_id: str,
    *,
    authcid: str | None = None,
    mechanism: Annotated[list[Mechanism] | None, Parameter(negative="", consume_multiple=True)] = None,
    certificate: Path | None = None,
    certificate_request: Path | None = None,
    when_empty: WhenEmpty = "refuse",
    alias: Repeated = None,
    allow_domain: Repeated = None,
    as_json: AsJson = False,
) -> None:
    """Makes a credential; its secret is shown this once, or the certificate that was asked for by a request."""
    made = credentials.create_credential(
        customer_id=customer_id,
        authcid=authcid,
        mechanisms=mechanism,
        certificate=read_file(certificate) if certificate else None,
        certificate_request=read_file(certificate_request) if certificate_request else None,
        when_empty=when_empty,
        aliases=said(alias),
        allowed_domains=said(allow_domain),
    )
    show(ask(made), as_json)


@credential.command(name="ls")
def credential_ls(
    *, customer_id: str | None = None, limit: int = 20, cursor: str | None = None, as_json: AsJson = False
) -> None:
    """Credentials, newest first."""
    show(ask(credentials.list_credentials(customer_id=customer_id, limit=limit, cursor=cursor)), as_json)


@credential.command(name="show")
def credential_show(credential_id: str, *, as_json: AsJson = False) -> None:
    """One credential, without its secret."""
    show(ask(credentials.read_credential(credential_id)), as_json)


@credential.command(name="config")
def credential_config(
    credential_id: str, *, client: Literal["connector", "fetchmail", "exim", "mdaemon"] = "connector"
) -> None:
    """The file that the customer pastes, for --client; where the secret goes, it says."""
    sys.stdout.write(ask(credentials.read_client_config(credential_id, for_=client)).decode())


@credential.command(name="change")
def credential_change(
    credential_id: str,
    *,
    when_empty: WhenEmpty | None = None,
    alias: Repeated = None,
    allow_domain: Repeated = None,
    as_json: AsJson = False,
) -> None:
    """What ATRN gets on an empty queue, names that stand for all domains, and the domains that it may ask for."""
    changed = credentials.change_credential(
        credential_id, when_empty=when_empty, aliases=said(alias), allowed_domains=said(allow_domain)
    )
    show(ask(changed), as_json)


@credential.command(name="rotate")
def credential_rotate(credential_id: str, *, overlap_seconds: int = 0, as_json: AsJson = False) -> None:
    """A new secret, shown this once; the old one ends, or after so many seconds."""
    show(ask(credentials.rotate_credential(credential_id, overlap_seconds=overlap_seconds)), as_json)


@credential.command(name="rm")
def credential_rm(credential_id: str) -> None:
    """Ends it, and its sessions."""
    ask(credentials.revoke_credential(credential_id))
