"""`odmr doctor`: looks at a provider through its API and its ports, and says what is wrong and what to type."""

import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cli.api import ask, rows
from client import diagnostics, dns, domains, messages, sessions, webhook_endpoints, whoami
from client.request import Page, Request
from shared import VERSION

#: Seconds for a port to greet: no timer of ours is so short, and nobody waits longer in front of a screen.
GREETING_TIME: Final = 10.0
#: Days that a certificate should last: certbot renews at 30, so one of fewer was not renewed.
LEAST_DAYS: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `why` is empty where all is well, `type_this` says what helps."""

    what: str
    why: str = ""
    type_this: str = ""


def look(smtp: str, odmr: str) -> Iterator[Finding]:
    """All findings, one after the other. `smtp` and `odmr` are host:port of the ports to call, or empty."""
    me = ask(whoami.whoami())
    other = "" if me["version"] == VERSION else f"it is version {me['version']}, this command {VERSION}"
    yield Finding("the API answers", other, "use the command of the same version")
    if me["role"] == "operator":
        yield from _parts()
    else:
        yield Finding(
            "the key", f"it is a {me['role']}'s and sees only its own", "use the operator's key for the whole"
        )
    for name, port in (("the MX port", smtp), ("the ODMR port", odmr)):
        if port:
            yield _greets(name, port)
    yield from _domains()
    yield _none(messages.list_messages(state="held", limit=1), "held mail", "odmr message ls --state held")
    yield from _webhooks()


def _parts() -> Iterator[Finding]:
    found = ask(diagnostics.read_diagnostics())
    has, wanted = found["schema_version"], found["schema_wanted"]
    why = "" if has == wanted else f"it is {has}, and this version is for {wanted}"
    yield Finding("the database's schema", why, "odmr db upgrade")
    why = (
        ""
        if found["bus_connected"]
        else "api has no connection to NATS: nobody can log in, and mail waits for the poll"
    )
    yield Finding("the bus", why, "is NATS up, and is ODMR_NATS_URL of api right?")


def _domains() -> Iterator[Finding]:
    connected = {one["customer_id"] for one in rows(sessions.list_sessions(running=True, limit=100))}
    for domain in rows(domains.list_domains(limit=100)):
        name = domain["name"]
        found = ask(dns.read_dns(name))
        wrong = [f"{one['type']} {one['name']}: {one['why']}" for one in found["records"] if not one["ok"]]
        yield Finding(f"DNS of {name}", "; ".join(wrong), f"odmr domain dns {name}; then odmr domain verify {name}")
        if domain["customer_id"] not in connected:
            waits = ask(messages.list_messages(domain=name, state="queued", limit=1))["data"]
            since = f"mail waits since {waits[0]['received_at']} or longer, and nobody is connected" if waits else ""
            yield Finding(f"mail for {name}", since, f"odmr customer status {domain['customer_id']}")


def _webhooks() -> Iterator[Finding]:
    for hook in rows(webhook_endpoints.list_endpoints(limit=100)):
        is_wrong = hook["state"] != "enabled"
        why = f"it is {hook['state']}: {hook['disabled_for']}" if is_wrong else ""
        yield Finding(f"webhook {hook['url']}", why, f"odmr webhook change {hook['id']} --state enabled")


def _none(request: Request[Page[messages.Message]], what: str, type_this: str) -> Finding:
    return Finding(what, "there is some" if ask(request)["data"] else "", type_this)


def _greets(name: str, port: str) -> Finding:
    """It greets, offers STARTTLS, and its certificate lasts."""
    host, _, number = port.rpartition(":")
    what, context = f"{name} {port}", ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with smtplib.SMTP(host, int(number), timeout=GREETING_TIME) as smtp:
            smtp.ehlo("localhost")
            if not smtp.has_extn("starttls"):
                return Finding(what, "it offers no STARTTLS", "set ODMR_TLS_CERTIFICATE and ODMR_TLS_KEY")
            smtp.starttls(context=context)
            assert isinstance(smtp.sock, ssl.SSLSocket)
            days = _days_left(smtp.sock.getpeercert(binary_form=True) or b"")
    except (OSError, ValueError, smtplib.SMTPException) as error:
        return Finding(what, f"no greeting: {error}", "is the service up, and the port open?")
    short = f"its certificate lasts {days} days more" if days < LEAST_DAYS else ""
    return Finding(what, short, "renew it; new files are taken within seconds")


def _days_left(certificate: bytes) -> int:
    from cryptography import x509

    return (x509.load_der_x509_certificate(certificate).not_valid_after_utc - datetime.now(UTC)).days  # noqa: TID251
