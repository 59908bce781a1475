"""What mail is about, as commands: each is one call of the HTTP API, named `noun verb`. `--json` prints what the API said."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Literal

from cyclopts import App

from cli.api import ask, or_none, read_file, said
from cli.showing import AsJson, show
from client import dns, domains, messages, sessions
from client import queue as waiting

domain = App(name="domain", help="What mail is taken for.")
queue = App(name="queue", help="What waits.")
message = App(name="message", help="What the spool holds, and what happened to it.")
session = App(name="session", help="Who is connected, and who was.")
NOUNS = (domain, queue, message, session)

State = Literal["queued", "leased", "delivered", "failed", "expired", "held", "deleted"]


@domain.command(name="create")
def domain_create(customer_id: str, name: str, *, as_json: AsJson = False) -> None:
    """Hosts a domain for a customer (cus_... or ext:...)."""
    show(ask(domains.create_domain(customer_id=customer_id, name=name)), as_json)


@domain.command(name="ls")
def domain_ls(
    *, customer_id: str | None = None, limit: int = 20, cursor: str | None = None, as_json: AsJson = False
) -> None:
    """Domains, newest first."""
    show(ask(domains.list_domains(customer_id=customer_id, limit=limit, cursor=cursor)), as_json)


@domain.command(name="show")
def domain_show(name: str, *, as_json: AsJson = False) -> None:
    """One domain, by id or by name."""
    show(ask(domains.read_domain(name)), as_json)


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
    changed = domains.change_domain(
        name,
        fail_after_seconds=said(fail_after_seconds),
        eight_bit=said(eight_bit),
        unknown_recipients=said(unknown_recipients),
        learn_refusals_seconds=said(learn_refusals_seconds),
        priority=said(priority),
        delay_notice_seconds=said(delay_notice_seconds),
        when_refused=said(when_refused),
        retention_days=or_none(retention_days),
        max_messages=or_none(max_messages),
        max_bytes=or_none(max_bytes),
    )
    show(ask(changed), as_json)


@domain.command(name="dns")
def domain_dns(name: str, *, as_json: AsJson = False) -> None:
    """What the DNS must say and says, and the lines to paste into the zone."""
    show(ask(dns.read_dns(name)), as_json)


@domain.command(name="verify")
def domain_verify(name: str, *, as_json: AsJson = False) -> None:
    """Looks for the TXT record that shows whose the domain is."""
    show(ask(dns.verify_domain(name)), as_json)


@domain.command(name="recipients")
def domain_recipients(name: str, *, from_file: Path | None = None, as_json: AsJson = False) -> None:
    """The local parts that the domain knows; --from-file puts those of a file, one a line, in their place."""
    if from_file is None:
        show(ask(domains.read_recipients(name)), as_json)
        return
    lines = [line.strip() for line in read_file(from_file).splitlines() if line.strip()]
    show(ask(domains.set_recipients(name, local_parts=lines)), as_json)


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
    ask(domains.remove_domain(name))


@queue.command(name="ls")
def queue_ls(name: str, *, as_json: AsJson = False) -> None:
    """What waits for a domain, by state, and the oldest."""
    show(ask(waiting.read_queue(name)), as_json)


@queue.command(name="hold")
def queue_hold(
    name: str, *, reason: str, seconds: int | None = None, dry_run: bool = False, as_json: AsJson = False
) -> None:
    """Keeps all that waits from its customer; for 14 days, or so many seconds."""
    show(ask(waiting.hold_queue(name, reason=reason, dry_run=dry_run, seconds=said(seconds))), as_json)


@queue.command(name="release")
def queue_release(name: str, *, reason: str, dry_run: bool = False, as_json: AsJson = False) -> None:
    """Queues again all that is held."""
    show(ask(waiting.release_queue(name, reason=reason, dry_run=dry_run)), as_json)


@queue.command(name="retry")
def queue_retry(name: str, *, reason: str, dry_run: bool = False, as_json: AsJson = False) -> None:
    """Ends the back-off of all that waits."""
    show(ask(waiting.retry_queue(name, reason=reason, dry_run=dry_run)), as_json)


@queue.command(name="bounce")
def queue_bounce(name: str, *, reason: str, dry_run: bool = False, as_json: AsJson = False) -> None:
    """Gives up: each sender gets a DSN with the reason. There is no way back."""
    show(ask(waiting.bounce_queue(name, reason=reason, dry_run=dry_run)), as_json)


@queue.command(name="purge")
def queue_purge(name: str, *, reason: str, dry_run: bool = False, as_json: AsJson = False) -> None:
    """Throws it away; nobody is told. There is no way back."""
    show(ask(waiting.purge_queue(name, reason=reason, dry_run=dry_run)), as_json)


@message.command(name="ls")
def message_ls(
    *,
    domain: str | None = None,
    state: State | None = None,
    customer_id: str | None = None,
    limit: int = 20,
    cursor: str | None = None,
    as_json: AsJson = False,
) -> None:
    """What the spool holds, newest first."""
    asked = messages.list_messages(domain=domain, state=state, customer_id=customer_id, limit=limit, cursor=cursor)
    show(ask(asked), as_json)


@message.command(name="show")
def message_show(message_id: str, *, as_json: AsJson = False) -> None:
    """One message and what happened to it, also when it has left the spool."""
    show(ask(messages.read_message(message_id)), as_json)


@message.command(name="trace")
def message_trace(message_id: str, *, as_json: AsJson = False) -> None:
    """What happened to it, a line each, with the seconds since it was received."""
    traced = ask(messages.read_message(message_id))
    if as_json:
        show({"data": traced["timeline"]}, as_json)
        return
    received = datetime.fromisoformat(traced["received_at"])
    for moment in traced["timeline"]:
        since = (datetime.fromisoformat(moment["at"]) - received).total_seconds()
        words = (moment["type"], moment["forward_path"], moment["session_id"] or "", moment["detail"])
        print(f"{moment['at']}  +{since:.3f} s  {'  '.join(word for word in words if word)}")


@message.command(name="raw")
def message_raw(message_id: str) -> None:
    """Its content on standard output, as it came."""
    sys.stdout.buffer.write(ask(messages.read_content(message_id)))
    sys.stdout.buffer.flush()


@message.command(name="hold")
def message_hold(message_id: str, *, reason: str, seconds: int | None = None, as_json: AsJson = False) -> None:
    """Keeps it from its customer; for 14 days, or so many seconds."""
    show(ask(messages.hold_message(message_id, reason=reason, seconds=said(seconds))), as_json)


@message.command(name="release")
def message_release(message_id: str, *, reason: str, as_json: AsJson = False) -> None:
    """Queues again what is held."""
    show(ask(messages.release_message(message_id, reason=reason)), as_json)


@message.command(name="retry")
def message_retry(message_id: str, *, reason: str, as_json: AsJson = False) -> None:
    """Ends its back-off."""
    show(ask(messages.retry_message(message_id, reason=reason)), as_json)


@message.command(name="bounce")
def message_bounce(message_id: str, *, reason: str, as_json: AsJson = False) -> None:
    """Gives up: its sender gets a DSN with the reason."""
    show(ask(messages.bounce_message(message_id, reason=reason)), as_json)


@message.command(name="rm")
def message_rm(message_id: str, *, reason: str, as_json: AsJson = False) -> None:
    """Throws it away; nobody is told."""
    show(ask(messages.delete_message(message_id, reason=reason)), as_json)


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
    asked = sessions.list_sessions(running=running, customer_id=customer_id, limit=limit, cursor=cursor)
    show(ask(asked), as_json)


@session.command(name="show")
def session_show(session_id: str, *, as_json: AsJson = False) -> None:
    """One session."""
    show(ask(sessions.read_session(session_id)), as_json)


@session.command(name="disconnect")
def session_disconnect(session_id: str, *, as_json: AsJson = False) -> None:
    """Ends it, after the message that is on the line."""
    show(ask(sessions.disconnect_session(session_id)), as_json)
