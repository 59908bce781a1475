"""Delivery status notifications: whether one is owed, and its text. RFC 3461 to 3464; RFC 6533 for what is not ASCII.

But for the To field of a sender whose own address is not, the text is ASCII: other addresses stand as RFC 6533 3 escapes
them, and the returned header is quoted-printable where it has 8-bit octets. Only the header section is returned, never the
body: a DSN goes to an address that a stranger wrote. Security: replies and addresses come from strangers; nothing of them
may begin a header field.
"""

import enum
import quopri
import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from shared.protocol.notification import decode_xtext, value_of, wants

#: Octets of a reply that a DSN repeats. RELIABILITY T3: 512.
MAX_DIAGNOSTIC: Final = 512
#: RFC 5322 2.1.1.
_LINE: Final = 76


class Kind(enum.Enum):
    """Why a sender is told, once of each recipient: the Action of RFC 3464 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"  # RFC 3461 5.2.2: it was asked for success, and the next server cannot say so


#: The events of NOTIFY. RFC 3461 4.1.
_EVENTS: Final = {Kind.FAILED: "FAILURE", Kind.DELAYED: "DELAY", Kind.RELAYED: "SUCCESS"}
_SUBJECTS: Final = {
    Kind.FAILED: "Undelivered mail returned to sender",
    Kind.DELAYED: "Delayed mail (still being tried)",
    Kind.RELAYED: "Mail passed on to the recipient's server",
}
_WORDS: Final = {
    Kind.FAILED: "Your message could not be delivered to the recipients below, and will not be tried again.",
    Kind.DELAYED: "Your message has not been delivered yet to the recipients below. You need not send it again: it is kept, "
    "and given to their server as soon as that asks for it.",
    Kind.RELAYED: "Your message was passed on to the server of the recipients below, which sends no notice of its own.",
}


@dataclass(frozen=True, slots=True)
class Told:
    """One recipient of whom the sender is told. `reply` is the last word of the recipient's server, or why we gave up."""

    forward_path: str
    dsn_parameters: str
    state: str
    reply: str
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Original:
    """The message that the notice is about. `header` is its header section, without the empty line."""

    reverse_path: str
    dsn_parameters: str
    received_at: datetime
    header: bytes


def is_owed(kind: Kind, reverse_path: str, dsn_parameters: str) -> bool:
    """Never to the null reverse-path (RFC 5321 6.1), and only of what the sender asks for (RFC 3461 4.1)."""
    return bool(reverse_path) and wants(_EVENTS[kind], dsn_parameters)


def compose(
    kind: Kind, original: Original, recipients: tuple[Told, ...], *, hostname: str, name: str, now: datetime
) -> bytes:
    """The notice as it is sent to the original reverse-path. `name` is unique: its Message-ID and its boundary."""
    boundary = f"=_{name}"
    header = (
        f"From: Mail Delivery System <MAILER-DAEMON@{hostname}>",
        _folded(f"To: <{original.reverse_path}>"),
        f"Subject: {_SUBJECTS[kind]}",
        f"Date: {format_datetime(now)}",
        f"Message-ID: <{name}@{hostname}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
    )
    parts = (
        ("Content-Type: text/plain; charset=us-ascii", _for_people(kind, original, recipients, hostname).encode()),
        ("Content-Type: message/delivery-status", _for_programs(kind, original, recipients, hostname).encode()),
        _returned(original.header),
    )
    text = "\r\n".join(header).encode() + b"\r\n\r\n"
    for type_line, body in parts:
        text += b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary.encode(), type_line.encode(), body)
    return text + b"--%s--\r\n" % boundary.encode()


def status_of(told: Told) -> str:
    """RFC 3463 code: the server's own if its reply has one, else what we know."""
    if told.state == "expired":
        return "4.4.7"
    found = re.match(r"([245])\d\d[ -](?:([245])(\.\d{1,3}\.\d{1,3})(?!\S))?", told.reply)
    if found:
        return found[1] + found[3] if found[2] == found[1] else f"{found[1]}.0.0"
    return _OURS.get(told.reply, "4.0.0" if told.state in ("queued", "leased", "held") else "5.0.0")


#: Stages at which we said nothing, since it could not be taken (shared.protocol.events).
_OURS: Final = {"over the server's SIZE": "5.3.4", "needs SMTPUTF8": "5.6.7", "needs 8BITMIME": "5.6.3"}


def _for_people(kind: Kind, original: Original, recipients: tuple[Told, ...], hostname: str) -> str:
    lines = [f"This is the mail system at {hostname}.", "", *_wrapped(_WORDS[kind]), ""]
    for told in recipients:
        lines += _wrapped(f"<{_shown(told.forward_path)}>: {_why(told)}", "    ")
    lines += ["", f"Your message came in on {format_datetime(original.received_at)}. Its header is below."]
    return "\r\n".join(lines) + "\r\n"


def _why(told: Told) -> str:
    if told.state == "expired":
        return "their server did not fetch the message in time"
    return _clean(told.reply) or "no reason is known"


def _for_programs(kind: Kind, original: Original, recipients: tuple[Told, ...], hostname: str) -> str:
    """RFC 3464 2.2 and 2.3."""
    envid = value_of("ENVID", original.dsn_parameters)
    fields = [f"Original-Envelope-Id: {decode_xtext(envid)}"] if envid else []
    fields += [f"Reporting-MTA: dns; {hostname}", f"Arrival-Date: {format_datetime(original.received_at)}"]
    for told in recipients:
        orcpt = value_of("ORCPT", told.dsn_parameters)
        status = status_of(told) if kind is not Kind.RELAYED else "2.0.0"
        fields += ["", f"Original-Recipient: {_original_recipient(orcpt)}"] if orcpt else [""]
        fields += [f"Final-Recipient: {_address(told.forward_path)}", f"Action: {kind.value}", f"Status: {status}"]
        if re.match(r"[245]\d\d[ -]", told.reply):
            fields.append(f"Diagnostic-Code: smtp; {_clean(told.reply)}")
        if told.settled_at is not None:
            fields.append(f"Last-Attempt-Date: {format_datetime(told.settled_at)}")
    return "\r\n".join(_folded(field) for field in fields) + "\r\n"


def _returned(header: bytes) -> tuple[str, bytes]:
    if header.isascii():
        return "Content-Type: text/rfc822-headers", header
    quoted = quopri.encodestring(header.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    return "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: quoted-printable", quoted


def _original_recipient(orcpt: str) -> str:
    kind, _, text = orcpt.partition(";")
    return f"{kind};{_escaped(text) if kind.lower() == 'utf-8' else _clean(decode_xtext(text))}"


def _address(path: str) -> str:
    return f"rfc822;{path}" if path.isascii() else f"utf-8;{_escaped(path)}"


def _escaped(text: str) -> str:
    """RFC 6533 3, utf-8-addr-xtext."""
    return "".join(char if char.isascii() else f"\\x{{{ord(char):X}}}" for char in text)


def _shown(path: str) -> str:
    return path if path.isascii() else _escaped(path)


def _clean(text: str) -> str:
    """One line of printable ASCII, bounded."""
    return re.sub(r"[^\x20-\x7e]+", "?", text.replace("\r\n", " ").replace("\n", " "))[:MAX_DIAGNOSTIC]


def _wrapped(text: str, indent: str = "") -> list[str]:
    """Lines of at most _LINE characters; a word that is longer stands alone."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > _LINE:
            lines.append(line)
            line = indent + word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def _folded(field: str) -> str:
    """A header field as lines. RFC 5322 2.2.3."""
    return "\r\n ".join(_wrapped(field)) if field else ""
