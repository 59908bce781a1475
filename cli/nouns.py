"""What mail is about, as commands: each is one call of the HTTP API, named `noun verb`. `--json` prints what the API said."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from cli.api import ask, call, given, path_of, read_file, write_out
from cli.showing import AsJson, show
from client import domains

domain = App(name="domain", help="What mail is taken for.")
queue = App(name="queue", help="What waits.")
message = App(name="message", help="What the spool holds, and what happened to it.")
session = App(name="session", help="Who is connected, and who was.")
NOUNS = (domain, queue, message, session)

Repeated = Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)]


@domain.command(name="create")
def domain_create(customer_id: str, name: str, *, as_json: AsJson = False) -> None:
    """Hosts a domain for a customer (cus_... or ext:...)."""
    show(call("POST", path_of("domains"), {"customer_id": customer_id, "name": name}), as_json)


@domain.command(name="ls")
def domain_ls(
    *, customer_id: str | None = None, limit: int = 20, cursor: str | None = None, as_json: AsJson = False
) -> None:
    """Domains, newest first."""
    show(call("GET", path_of("domains", customer_id=customer_id, limit=limit, cursor=cursor)), as_json)


@domain.command(name="show")
def domain_show(name: str, *, as_json: AsJson = False) -> None:
    """One domain, by id or by name."""
    show(call("GET", path_of("domains", name)), as_json)


@domain.command(name="change")
def domain_change(
    name: str,
    *,
    fail_after_seconds: int | None = None,
    eight_bit: Literal["hold", "send"] | None = None,
    unknown_recipients: Literal["accept", "reject"] | None = None,
    learn_refusals_seconds: int | None = None,
    priority: int | None = None,
    retention_days: int | None = None,
    delay_notice_seconds: int | None = None,
    when_refused: Literal["fail", "hold"] | None = None,
    max_messages: int | None = None,
    max_bytes: int | None = None,
    as_json: AsJson = False,
) -> None:
    """Policies. 0 for --retention-days, --max-messages or --max-bytes takes it away."""
    changes = given(
        fail_after_seconds=fail_after_seconds,
        eight_bit=eight_bit,
        unknown_recipients=unknown_recipients,
        learn_refusals_seconds=learn_refusals_seconds,
        priority=priority,
        delay_notice_seconds=delay_notice_seconds,
        when_refused=when_refused,
    )
    limits = given(retention_days=retention_days, max_messages=max_messages, max_bytes=max_bytes)
    changes |= {limit: value or None for limit, value in limits.items()}
    show(call("PATCH", path_of("domains", name), changes), as_json)


@domain.command(name="dns")
def domain_dns(name: str, *, as_json: AsJson = False) -> None:
    """What the DNS must say and says, and the lines to paste into the zone."""
    show(call("GET", path_of("domains", name, "dns")), as_json)


@domain.command(name="verify")
def domain_verify(name: str, *, as_json: AsJson = False) -> None:
    """Looks for the TXT record that shows whose the domain is."""
    show(call("POST", path_of("domains", name, "verify")), as_json)


@domain.command(name="recipients")
def domain_recipients(name: str, *, from_file: Path | None = None, as_json: AsJson = False) -> None:
    """The local parts that the domain knows; --from-file puts those of a file, one a line, in their place."""
    path = path_of("domains", name, "recipients")
    if from_file is None:
        show(call("GET", path), as_json)
        return
    lines = [line.strip() for line in read_file(from_file).splitlines() if line.strip()]
    show(call("PUT", path, {"local_parts": lines}), as_json)


@domain.command(name="refused")
def domain_refused(
    name: str, *, forget: str | None = None, limit: int = 20, cursor: str | None = None, as_json: AsJson = False
) -> None:
    """Whom the customer's server did not know; --forget LOCAL-PART, or --forget all, has senders heard again."""
    if forget is not None:
        ask(domains.forget_refused_recipients(name, local_part=None if forget == "all" else forget))
        return
    show(ask(domains.list_refused_recipients(name, limit=limit, cursor=cursor)), as_json)


@domain.command(name="rm")
def domain_rm(name: str) -> None:
    """Takes no more mail for it; not while some is kept."""
    call("DELETE", path_of("domains", name))


@queue.command(name="ls")
def queue_ls(name: str, *, as_json: AsJson = False) -> None:
    """What waits for a domain, by state, and the oldest."""
    show(call("GET", path_of("domains", name, "queue")), as_json)


def _all_of(name: str, what: str, reason: str, dry_run: bool, as_json: bool, **values: Any) -> None:
    body = {"reason": reason, "dry_run": dry_run, **given(**values)}
    show(call("POST", path_of("domains", name, "queue", what), body), as_json)


@queue.command(name="hold")
def queue_hold(
    name: str, *, reason: str, seconds: int | None = None, dry_run: bool = False, as_json: AsJson = False
) -> None:
    """Keeps all that waits from its customer; for 14 days, or so many seconds."""
    _all_of(name, "hold", reason, dry_run, as_json, seconds=seconds)


@queue.command(name="release")
def queue_release(name: str, *, reason: str, dry_run: bool = False, as_json: AsJson = False) -> None:
    """Queues again all that is held."""
    _all_of(name, "release", reason, dry_run, as_json)


@queue.command(name="retry")
def queue_retry(name: str, *, reason: str, dry_run: bool = False, as_json: AsJson = False) -> None:
    """Ends the back-off of all that waits."""
    _all_of(name, "retry", reason, dry_run, as_json)


@queue.command(name="bounce")
def queue_bounce(name: str, *, reason: str, dry_run: bool = False, as_json: AsJson = False) -> None:
    """Gives up: each sender gets a DSN with the reason. There is no way back."""
    _all_of(name, "bounce", reason, dry_run, as_json)


@queue.command(name="purge")
def queue_purge(name: str, *, reason: str, dry_run: bool = False, as_json: AsJson = False) -> None:
    """Throws it away; nobody is told. There is no way back."""
    _all_of(name, "purge", reason, dry_run, as_json)


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
    show(call("GET", path_of("messages", **query)), as_json)


@message.command(name="show")
def message_show(message_id: str, *, as_json: AsJson = False) -> None:
    """One message and what happened to it, also when it has left the spool."""
    show(call("GET", path_of("messages", message_id)), as_json)


@message.command(name="raw")
def message_raw(message_id: str) -> None:
    """Its content on standard output, as it came."""
    write_out(path_of("messages", message_id, "raw"))


def _handle(message_id: str, what: str, as_json: bool, **values: Any) -> None:
    show(call("POST", path_of("messages", message_id, what), given(**values)), as_json)


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
    show(call("GET", path_of("sessions", **query)), as_json)


@session.command(name="show")
def session_show(session_id: str, *, as_json: AsJson = False) -> None:
    """One session."""
    show(call("GET", path_of("sessions", session_id)), as_json)


@session.command(name="disconnect")
def session_disconnect(session_id: str, *, as_json: AsJson = False) -> None:
    """Ends it, after the message that is on the line."""
    show(call("POST", path_of("sessions", session_id, "disconnect")), as_json)
