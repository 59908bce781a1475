"""What we take and what we refuse, as pure decisions. RFC 5321 4.5.3, RFC 1870. Limits as RELIABILITY 8 has them.

This is also the seam for verdicts: a judge of mail (SPF, DMARC, a DNS list, a filter) is a `Check`, asked at connect, MAIL,
RCPT and content; the first refusal counts.
"""

import re
from dataclasses import dataclass
from typing import Final, Protocol

from shared.protocol import reply as r
from shared.protocol.grammar import Path, PathCommand
from shared.protocol.notification import OF_RCPT
from shared.protocol.reply import Reply

#: Octets of a message. RELIABILITY 8, ours.
MAX_MESSAGE: Final = 64 * 1024 * 1024
#: Octets of the header section. Postfix header_size_limit.
MAX_HEADER: Final = 102_400
#: RFC 5321 4.5.3.1.8 asks for 100; Postfix smtpd_recipient_limit is 1,000.
MAX_RECIPIENTS: Final = 1_000
#: Received lines. RFC 5321 6.3: at least 100.
MAX_HOPS: Final = 100
#: Refused commands before each is answered late, and before we close. Postfix smtpd_soft/hard_error_limit.
SOFT_ERRORS: Final = 10
HARD_ERRORS: Final = 20
#: Commands that move nothing. Postfix smtpd_junk_command_limit.
MAX_JUNK: Final = 100
#: Seconds that a refusal is held back beyond SOFT_ERRORS. Postfix smtpd_error_sleep_time.
ERROR_SLEEP: Final = 1.0
#: Commands answered with 4xx before we close. Postfix smtpd_recipient_overshoot_limit.
MAX_OVERSHOOT: Final = 1_000
#: Seconds for which a count of a domain's queue is good.
MAX_QUOTA_AGE: Final = 1.0
#: Connections from one address (Postfix smtpd_client_connection_count_limit), loopback apart, and in all.
MAX_BY_ADDRESS: Final = 50
MAX_CONNECTIONS: Final = 5_000

_RECEIVED: Final = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who speaks: its address, and the name it gave in HELO or EHLO."""

    address: str
    helo: str = ""


class Check(Protocol):
    """One judge of mail: gives why it refuses (4xx not now, 5xx never), or None. What it raises counts as `not now`."""

    async def connected(self, peer: Peer) -> Reply | None:
        """At the greeting."""
        ...

    async def reverse_path(self, peer: Peer, path: Path) -> Reply | None:
        """At MAIL."""
        ...

    async def forward_path(self, peer: Peer, path: Path) -> Reply | None:
        """At RCPT, for a domain that we host."""
        ...

    async def header(self, peer: Peer, header: bytes) -> Reply | None:
        """At the end of data, with the header section."""
        ...


def refuse_mail(command: PathCommand, max_message: int) -> Reply | None:
    """Why MAIL is refused, or None. RFC 1870 6.1, 6152 2, 6531 3.4, 3461 4.3."""
    for name, value in command.parameters.items():
        match name, value.upper():
            case "SIZE", size if size.isdigit() and len(size) <= 20:
                if int(size) > max_message:
                    return r.S552_TOO_BIG
            case "BODY", ("7BIT" | "8BITMIME"):
                pass
            case "SMTPUTF8", "":
                pass
            case (("RET" | "ENVID"), _):
                pass
            case (("SIZE" | "BODY" | "SMTPUTF8"), _):
                return r.S501_SYNTAX
            case _:
                return r.S555_UNKNOWN_PARAMETER
    return None if command.path.is_ascii or "SMTPUTF8" in command.parameters else r.S553_NEEDS_SMTPUTF8


def refuse_rcpt(command: PathCommand, recipients: int, *, is_smtputf8: bool) -> Reply | None:
    """Why RCPT is refused before the domain is looked up, or None."""
    if not command.parameters.keys() <= set(OF_RCPT):
        return r.S555_UNKNOWN_PARAMETER
    if not is_smtputf8 and not (command.path.is_ascii and all(x.isascii() for x in command.parameters.values())):
        return r.S553_NEEDS_SMTPUTF8
    if recipients >= MAX_RECIPIENTS:
        return r.S452_TOO_MANY_RECIPIENTS
    if command.path.domain.startswith("["):
        return r.S550_NO_RELAY
    return None


def refuse_header(header: bytes) -> Reply | None:
    """Why the message is refused for its header section, or None."""
    if len(_RECEIVED.findall(header)) > MAX_HOPS:
        return r.S554_LOOP
    return None
