"""Replies: three digits, an enhanced code, text. RFC 5321 4.2, RFC 2034, RFC 3463; the codes of RFC 2645 7.

Every reply that we send is a constant here or made by a function here. The peer hears little; the log hears all.
"""

import re
from dataclasses import dataclass
from typing import Final

#: Lines of one reply that we read before we give up on the peer. RELIABILITY: Postfix has no such limit, 100 is ample.
MAX_REPLY_LINES: Final = 100
#: Octets of a peer's reply that are kept. OpenSMTPD CVE-2020-8794: a reply is never stored raw or without a bound.
MAX_KEPT_REPLY: Final = 512

_REPLY_LINE: Final = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.DOTALL)
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, ours or the peer's. `enhanced` is empty where RFC 2034 wants none (greeting, EHLO) or none was read."""

    code: int
    enhanced: str
    lines: tuple[str, ...]

    @property
    def is_positive(self) -> bool:
        """2xx: done."""
        return 200 <= self.code < 300

    @property
    def is_temporary(self) -> bool:
        """4xx: not now."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5xx: not like this."""
        return self.code >= 500

    def to_wire(self) -> bytes:
        """The reply as octets, every line with its code. RFC 2034 4: the enhanced code stands on each line."""
        lead = f"{self.enhanced} " if self.enhanced else ""
        last = len(self.lines) - 1
        return b"".join(
            f"{self.code}{' ' if i == last else '-'}{lead}{line}\r\n".encode("ascii", "replace")
            for i, line in enumerate(self.lines)
        )

    def __str__(self) -> str:
        """One printable line, bounded: fit for a log or a column."""
        lead = f"{self.enhanced} " if self.enhanced else ""
        text = f"{self.code} {lead}{' / '.join(self.lines)}".rstrip()
        return _UNPRINTABLE.sub(lambda m: f"\\x{ord(m[0]):02x}", text)[:MAX_KEPT_REPLY]


def _say(code: int, enhanced: str, text: str) -> Reply:
    return Reply(code, enhanced, (text,))


# Names carry the code, so that a reader sees what goes out. RFC in the comment where it is not 5321.
S221_BYE: Final = _say(221, "2.0.0", "Bye")
S220_READY_FOR_TLS: Final = _say(220, "2.0.0", "Ready to start TLS")  # RFC 3207 4
S235_AUTHENTICATED: Final = _say(235, "2.7.0", "Authentication succeeded")  # RFC 4954 6
S250_OK: Final = _say(250, "2.0.0", "OK")
S250_REVERSE_PATH_OK: Final = _say(250, "2.1.0", "OK")
S250_RECIPIENT_OK: Final = _say(250, "2.1.5", "OK")
S250_TURNING: Final = _say(250, "2.0.0", "OK now reversing the connection")  # RFC 2645 7; one line, fetchmail needs it
S250_LIVE: Final = _say(250, "2.0.0", "This session stays after ATRN, and is pushed to")
S250_TAKEN_BEFORE: Final = _say(250, "2.0.0", "Taken before")
S250_IDS: Final = _say(250, "2.0.0", "Each message will bear its XODMRID")
S252_CANNOT_VERIFY: Final = _say(252, "2.5.0", "Cannot verify; send some mail and I will try")
S354_GO_AHEAD: Final = Reply(354, "", ("End data with <CRLF>.<CRLF>",))
S421_SHUTTING_DOWN: Final = _say(421, "4.3.2", "Shutting down, try again")
S421_IDLE: Final = _say(421, "4.4.2", "Idle for too long, closing")
S421_TOO_MANY_ERRORS: Final = _say(421, "4.7.0", "Too many errors, closing")
S421_TOO_MANY_CONNECTIONS: Final = _say(421, "4.7.0", "Too many connections from your address, try again later")
S421_EARLY_BYTES: Final = _say(421, "4.7.0", "Bytes before my reply, closing")
S450_NOT_YOURS: Final = _say(450, "4.7.1", "ATRN request refused")  # RFC 2645 5.2.1
S450_TOO_OFTEN: Final = _say(450, "4.7.0", "You ask too often, try again later")  # RFC 2645 5.2.1
S450_TOO_MANY_SESSIONS: Final = _say(450, "4.7.0", "Too many sessions of yours, try again later")
S450_BUSY: Final = _say(450, "4.7.0", "Another session has your mail, try again later")  # RFC 2645 7
S450_HOUR_IS_FULL: Final = _say(
    450, "4.7.1", "Too much mail for this recipient's provider plan in this hour; try again later"
)
S450_SUSPENDED: Final = _say(450, "4.2.1", "Mail for that domain is not taken now; try again later")
S450_TAKEN_ELSEWHERE: Final = _say(450, "4.3.0", "Another connection is taking that message, try again later")
S451_CANNOT_TURN: Final = _say(451, "4.3.0", "Unable to process ATRN request now")  # RFC 2645 7
S451_LOCAL_TROUBLE: Final = _say(451, "4.3.0", "Local trouble, try again later")
S452_MAILBOX_FULL: Final = _say(452, "4.2.2", "The queue for that domain is full; try again later")
S452_NO_SPACE: Final = _say(452, "4.3.1", "No space for mail now; try again later")
S452_TOO_MANY_RECIPIENTS: Final = _say(452, "4.5.3", "Too many recipients")
S453_NO_MAIL: Final = _say(453, "4.2.0", "You have no mail")  # RFC 2645 7
S454_AUTH_UNAVAILABLE: Final = _say(454, "4.7.0", "Temporary authentication failure")  # RFC 4954 6
S500_LINE_TOO_LONG: Final = _say(500, "5.5.2", "Line too long")
S500_AUTH_TOO_LONG: Final = _say(500, "5.5.6", "Authentication exchange line is too long")  # RFC 4954 4
S500_UNKNOWN_COMMAND: Final = _say(500, "5.5.1", "Command not recognized")
S501_ABORTED: Final = _say(501, "5.7.0", "Authentication aborted")  # RFC 4954 4
S501_BAD_BASE64: Final = _say(501, "5.5.2", "Cannot decode that base64")  # RFC 4954 4
S501_NO_INITIAL_RESPONSE: Final = _say(501, "5.7.0", "This mechanism takes no initial response")  # RFC 4954 4
S501_SYNTAX: Final = _say(501, "5.5.4", "Syntax error in parameters")
S501_BAD_ADDRESS: Final = _say(501, "5.1.3", "Bad address syntax")
S502_NOT_HERE: Final = _say(502, "5.5.1", "Command not implemented here")  # RFC 2645 5.4
S503_AUTHENTICATED_ALREADY: Final = _say(503, "5.5.1", "Already authenticated")  # RFC 4954 4
S503_EHLO_FIRST: Final = _say(503, "5.5.1", "Send EHLO first")
S503_MAIL_FIRST: Final = _say(503, "5.5.1", "Send MAIL first")
S503_RCPT_FIRST: Final = _say(503, "5.5.1", "Send RCPT first")
S503_NESTED_MAIL: Final = _say(503, "5.5.1", "A transaction is open already")
S503_TLS_ACTIVE: Final = _say(503, "5.5.1", "TLS is active already")
S504_UNKNOWN_MECHANISM: Final = _say(504, "5.5.4", "Authentication mechanism not offered")  # RFC 4954 4
S530_AUTH_FIRST: Final = _say(530, "5.7.0", "Authentication required")  # RFC 2645 5.2.1
S530_TLS_FIRST: Final = _say(530, "5.7.0", "Send STARTTLS first")  # RFC 3207 4
S535_DENIED: Final = _say(535, "5.7.8", "Authentication credentials invalid")  # RFC 4954 6
S550_SUSPENDED: Final = _say(550, "5.2.1", "Mail for that domain is not taken")
S550_UNKNOWN_RECIPIENT: Final = _say(550, "5.1.1", "No such recipient here")  # RFC 5321 4.2.3
S550_NO_RELAY: Final = _say(550, "5.7.1", "We do not take mail for that domain")
S550_BARE_LINE_END: Final = _say(550, "5.5.2", "Content has a CR or LF alone; end each line with CR LF")
S552_TOO_BIG: Final = _say(552, "5.3.4", "Message is over the size limit")  # RFC 1870 6.1
S554_LOOP: Final = _say(554, "5.4.6", "Too many hops, the mail loops")  # RFC 5321 6.3
S554_HEADER_TOO_BIG: Final = _say(554, "5.6.0", "Header section is over the size limit")
S553_NEEDS_SMTPUTF8: Final = _say(553, "5.6.7", "Say SMTPUTF8 with MAIL for such an address")  # RFC 6531 3.5
S555_UNKNOWN_PARAMETER: Final = _say(555, "5.5.4", "Parameter not recognized or not implemented")


def greeting(hostname: str, text: str) -> Reply:
    """The 220 that opens a connection. RFC 5321 4.2: the first word is our name, and no enhanced code (RFC 2034 3)."""
    return Reply(220, "", (f"{hostname} {text}",))


def hello(hostname: str, keywords: tuple[str, ...]) -> Reply:
    """The reply to EHLO. RFC 5321 4.1.1.1; it bears no enhanced code (RFC 2034 3)."""
    return Reply(250, "", (hostname, *keywords))


def challenge(encoded: str) -> Reply:
    """A SASL challenge in base64. RFC 4954 4: a space stands behind 334 even when it is empty."""
    return Reply(334, "", (encoded,))


def counted(messages: int, octets: int) -> Reply:
    """The answer to XODMR STAT."""
    return Reply(250, "2.0.0", (f"messages={messages} octets={octets}",))


class BadReply(Exception):
    """What the peer sent is no reply."""


class ReplyReader:
    """Gathers the lines of one reply. A code alone is a reply; the codes of all lines must agree."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._code = 0

    def add(self, line: bytes) -> Reply | None:
        """Takes one line; gives the reply when it was the last. Raises BadReply."""
        found = _REPLY_LINE.match(line)
        if not found or (self._lines and int(found[1]) != self._code) or len(self._lines) >= MAX_REPLY_LINES:
            raise BadReply(repr(line[:80]))
        self._code = int(found[1])
        self._lines.append((found[3] or b"").decode("latin-1")[:MAX_REPLY_LINE_KEPT])
        if found[2] == b"-":
            return None
        reply = Reply(self._code, "", tuple(self._lines))
        self._lines = []
        return reply


#: Octets kept of each line of a peer's reply.
MAX_REPLY_LINE_KEPT: Final = 512
