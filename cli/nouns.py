"""The nouns of the HTTP API as commands: each is one call, named `noun verb`. `--json` prints what the API said."""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from cyclopts import App, Parameter

from cli.api import call, read_file
from cli.showing import AsJson, show

customer = App(name="customer", help="Whose mail it is.")
domain = App(name="domain", help="What mail is taken for.")
credential = App(name="credential", help="How a customer proves who it is.")
queue = App(name="queue", help="What waits.")
message = App(name="message", help="What the spool holds, and what happened to it.")
session = App(name="session", help="Who is connected, and who was.")
usage = App(name="usage", help="What was counted.")
key = App(name="key", help="Keys of the HTTP API.")
NOUNS = (customer, domain, credential, queue, message, session, usage, key)

Repeated = Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)]


def _path(*parts: str, **query: Any) -> str:
    """A path whose parts may hold anything, and a query of what is set."""
    known = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
    asked = urlencode({name: value for name, value in known.items() if value is not None})
    return "/v1/" + "/".join(quote(part, safe=":@") for part in parts) + (f"?{asked}" if asked else "")


def _set(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@customer.command(name="create")
def customer_create(name: str, *, external_id: str | None = None, as_json: AsJson = False) -> None:
    """Makes a customer."""
    show(call("POST", _path("customers"), _set(name=name, external_id=external_id)), as_json)


@customer.command(name="ls")
def customer_ls(*, limit: int = 20, cursor: str | None = None, as_json: AsJson = False) -> None:
    """Customers, newest first."""
    show(call("GET", _path("customers", limit=limit, cursor=cursor)), as_json)


@customer.command(name="show")
def customer_show(customer_id: str, *, as_json: AsJson = False) -> None:
    """One customer (cus_... or ext:...)."""
    show(call("GET", _path("customers", customer_id)), as_json)


@customer.command(name="change")
def customer_change(
    customer_id: str, *, name: str | None = None, external_id: str | None = None, as_json: AsJson = False
) -> None:
    """Another name, or another id of the biller's."""
    show(call("PATCH", _path("customers", customer_id), _set(name=name, external_id=external_id)), as_json)


@customer.command(name="suspend")
def customer_suspend(customer_id: str, *, reason: str, as_json: AsJson = False) -> None:
    """Keeps its mail and gives none out."""
    show(call("POST", _path("customers", customer_id, "suspend"), {"reason": reason}), as_json)


@customer.command(name="resume")
def customer_resume(customer_id: str, *, as_json: AsJson = False) -> None:
    """Gives its mail out again."""
    show(call("POST", _path("customers", customer_id, "resume")), as_json)


@domain.command(name="create")
def domain_create(customer_id: str, name: str, *, as_json: AsJson = False) -> None:
    """Hosts a domain for a customer (cus_... or ext:...)."""
    show(call("POST", _path("domains"), {"customer_id": customer_id, "name": name}), as_json)


@domain.command(name="ls")
def domain_ls(
    *, customer_id: str | None = None, limit: int = 20, cursor: str | None = None, as_json: AsJson = False
) -> None:
    """Domains, newest first."""
    show(call("GET", _path("domains", customer_id=customer_id, limit=limit, cursor=cursor)), as_json)


@domain.command(name="show")
def domain_show(name: str, *, as_json: AsJson = False) -> None:
    """One domain, by id or by name."""
    show(call("GET", _path("domains", name)), as_json)


@domain.command(name="change")
def domain_change(
    name: str,
    *,
    fail_after_seconds: int | None = None,
    eight_bit: Literal["hold", "send"] | None = None,
    unknown_recipients: Literal["accept", "reject"] | None = None,
    retention_days: int | None = None,
    delay_notice_seconds: int | None = None,
    when_refused: Literal["fail", "hold"] | None = None,
    max_messages: int | None = None,
    max_bytes: int | None = None,
    as_json: AsJson = False,
) -> None:
    """Policies. 0 for --retention-days, --max-messages or --max-bytes takes it away."""
    changes = _set(
        fail_after_seconds=fail_after_seconds,
        eight_bit=eight_bit,
        unknown_recipients=unknown_recipients,
        delay_notice_seconds=delay_notice_seconds,
        when_refused=when_refused,
    )
    limits = _set(retention_days=retention_days, max_messages=max_messages, max_bytes=max_bytes)
    changes |= {limit: value or None for limit, value in limits.items()}
    show(call("PATCH", _path("domains", name), changes), as_json)


@domain.command(name="recipients")
def domain_recipients(name: str, *, from_file: Path | None = None, as_json: AsJson = False) -> None:
    """The local parts that the domain knows; --from-file puts those of a file, one a line, in their place."""
    path = _path("domains", name, "recipients")
    if from_file is None:
        show(call("GET", path), as_json)
        return
    lines = [line.strip() for line in read_file(from_file).splitlines() if line.strip()]
    show(call("PUT", path, {"local_parts": lines}), as_json)


@domain.command(name="rm")
def domain_rm(name: str) -> None:
    """Takes no more mail for it; not while some is kept."""
    call("DELETE", _path("domains", name))


@credential.command(name="create")
def credential_create(
    customer_id: str,
    *,
    authcid: str | None = None,
    mechanism: Repeated = None,
    certificate: Path | None = None,
    when_empty: Literal["refuse", "turn", "live"] = "refuse",
    alias: Repeated = None,
    as_json: AsJson = False,
) -> None:
    """Makes a credential; its secret is shown this once."""
    body = _set(
        customer_id=customer_id,
        authcid=authcid,
        mechanisms=mechanism,
        certificate=read_file(certificate) if certificate else None,
        when_empty=when_empty,
        aliases=alias or [],
    )
    show(call("POST", _path("credentials"), body), as_json)


@credential.command(name="ls")
def credential_ls(
    *, customer_id: str | None = None, limit: int = 20, cursor: str | None = None, as_json: AsJson = False
) -> None:
    """Credentials, newest first."""
    show(call("GET", _path("credentials", customer_id=customer_id, limit=limit, cursor=cursor)), as_json)


@credential.command(name="show")
def credential_show(credential_id: str, *, as_json: AsJson = False) -> None:
    """One credential, without its secret."""
    show(call("GET", _path("credentials", credential_id)), as_json)


@credential.command(name="change")
def credential_change(
    credential_id: str,
    *,
    when_empty: Literal["refuse", "turn", "live"] | None = None,
    alias: Repeated = None,
    as_json: AsJson = False,
) -> None:
    """What ATRN gets on an empty queue, and names that stand for all domains."""
    show(call("PATCH", _path("credentials", credential_id), _set(when_empty=when_empty, aliases=alias)), as_json)


@credential.command(name="rotate")
def credential_rotate(credential_id: str, *, as_json: AsJson = False) -> None:
    """A new secret, shown this once; the old one ends."""
    show(call("POST", _path("credentials", credential_id, "rotate")), as_json)


@credential.command(name="rm")
def credential_rm(credential_id: str) -> None:
    """Ends it, and its sessions."""
    call("DELETE", _path("credentials", credential_id))


@queue.command(name="ls")
def queue_ls(name: str, *, as_json: AsJson = False) -> None:
    """What waits for a domain, by state, and the oldest."""
    show(call("GET", _path("domains", name, "queue")), as_json)


@message.command(name="ls")
def message_ls(
    *,
    domain: str | None = None,
    state: str | None = None,
    customer_id: str | None = None,
    limit: int = 20,
    cursor: str | None = None,
    as_json: AsJson = False,
) -> None:
    """What the spool holds, newest first."""
    query = {"domain": domain, "state": state, "customer_id": customer_id, "limit": limit, "cursor": cursor}
    show(call("GET", _path("messages", **query)), as_json)


@message.command(name="show")
def message_show(message_id: str, *, as_json: AsJson = False) -> None:
    """One message and what happened to it, also when it has left the spool."""
    show(call("GET", _path("messages", message_id)), as_json)


def _handle(message_id: str, what: str, as_json: bool, **values: Any) -> None:
    show(call("POST", _path("messages", message_id, what), _set(**values)), as_json)


@message.command(name="hold")
def message_hold(message_id: str, *, reason: str, seconds: int | None = None, as_json: AsJson = False) -> None:
    """Keeps it from its customer; for 14 days, or so many seconds."""
    _handle(message_id, "hold", as_json, reason=reason, seconds=seconds)


@message.command(name="release")
def message_release(message_id: str, *, reason: str, as_json: AsJson = False) -> None:
    """Queues again what is held."""
    _handle(message_id, "release", as_json, reason=reason)


@message.command(name="retry")
def message_retry(message_id: str, *, reason: str, as_json: AsJson = False) -> None:
    """Ends its back-off."""
    _handle(message_id, "retry", as_json, reason=reason)


@message.command(name="bounce")
def message_bounce(message_id: str, *, reason: str, as_json: AsJson = False) -> None:
    """Gives up: its sender gets a DSN with the reason."""
    _handle(message_id, "bounce", as_json, reason=reason)


@message.command(name="rm")
def message_rm(message_id: str, *, reason: str, as_json: AsJson = False) -> None:
    """Throws it away; nobody is told."""
    _handle(message_id, "delete", as_json, reason=reason)


@session.command(name="ls")
def session_ls(
    *,
    running: bool | None = None,
    customer_id: str | None = None,
    limit: int = 20,
    cursor: str | None = None,
    as_json: AsJson = False,
) -> None:
    """Sessions, newest first."""
    query = {"running": running, "customer_id": customer_id, "limit": limit, "cursor": cursor}
    show(call("GET", _path("sessions", **query)), as_json)


@session.command(name="show")
def session_show(session_id: str, *, as_json: AsJson = False) -> None:
    """One session."""
    show(call("GET", _path("sessions", session_id)), as_json)


@usage.command(name="show")
def usage_show(
    *, customer_id: str | None = None, since: str | None = None, until: str | None = None, as_json: AsJson = False
) -> None:
    """Totals by customer, domain and meter; --since and --until are times such as 2026-11-01T00:00:00Z."""
    show(call("GET", _path("usage", customer_id=customer_id, since=since, until=until)), as_json)


@key.command(name="create")
def key_create(
    name: str,
    *,
    role: Literal["operator", "reseller", "customer"],
    customer_id: str | None = None,
    scope: Repeated = None,
    as_json: AsJson = False,
) -> None:
    """Makes a key; it is shown this once."""
    body = _set(name=name, role=role, customer_id=customer_id, scopes=scope or ["*"])
    show(call("POST", _path("api_keys"), body), as_json)


@key.command(name="ls")
def key_ls(*, limit: int = 20, cursor: str | None = None, as_json: AsJson = False) -> None:
    """Keys, newest first."""
    show(call("GET", _path("api_keys", limit=limit, cursor=cursor)), as_json)


@key.command(name="rm")
def key_rm(key_id: str) -> None:
    """Ends it."""
    call("DELETE", _path("api_keys", key_id))
