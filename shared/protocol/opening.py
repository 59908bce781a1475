"""The beginning of a session as a client of a stranger's server: greeting, EHLO, and STARTTLS where it is offered.

Opportunistic TLS (RFC 7435): a server without it is sent to in clear. When Opened, SmtpSender takes the line and says EHLO
again, as RFC 3207 4.2 asks after the handshake. Security: octets behind the reply to STARTTLS came in clear and end the line.
"""

from dataclasses import dataclass

from shared.protocol.events import NEED_DATA, Waiting
from shared.protocol.reply import BadReply, Reply, ReplyReader
from shared.protocol.wire import MAX_REPLY_LINE, LineBuffer, LineTooLong


@dataclass(frozen=True, slots=True)
class HandshakeDue:
    """The server is ready for TLS: after the handshake the line is open."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The line is open in clear."""


@dataclass(frozen=True, slots=True)
class NotOpened:
    """The server does not want us, or makes no sense. `reply` is what it said, if it was a reply."""

    why: str
    reply: Reply | None = None


OpeningEvent = HandshakeDue | Opened | NotOpened | Waiting


class Opening:
    """Bytes in, one event out at the end; `data_to_send` has what to say meanwhile."""

    def __init__(self, hostname: str, *, wants_tls: bool = True) -> None:
        self._hostname = hostname
        self._wants_tls = wants_tls
        self._lines = LineBuffer(MAX_REPLY_LINE)
        self._replies = ReplyReader()
        self._waits_for = "greeting"
        self._out = bytearray()
        self._is_closed = False

    def receive_data(self, data: bytes) -> None:
        """Takes bytes as they came; b"" means that the peer closed."""
        self._lines.feed(data)
        self._is_closed = self._is_closed or not data

    def data_to_send(self) -> bytes:
        """The octets to write now."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def next_event(self) -> OpeningEvent:
        """What is to be done; call it again after each read until it is no Waiting."""
        while True:
            try:
                line = self._lines.next_line()
                reply = None if line is None else self._replies.add(line)
            except (LineTooLong, BadReply) as error:
                return NotOpened(f"no reply: {type(error).__name__} {error}")
            if reply is not None and (event := self._take(reply)) is not None:
                return event
            if line is None:
                return NotOpened(f"closed instead of a reply to {self._waits_for}") if self._is_closed else NEED_DATA

    def _take(self, reply: Reply) -> OpeningEvent | None:
        match self._waits_for, reply.code:
            case "greeting", 220:
                self._say(f"EHLO {self._hostname}")
            case "EHLO", code if 200 <= code < 300:
                if not self._wants_tls or not any(line.upper().strip() == "STARTTLS" for line in reply.lines[1:]):
                    return Opened()
                self._say("STARTTLS")
            case "EHLO", code if code >= 500:  # RFC 5321 3.2: SmtpSender tries HELO
                return Opened()
            case "STARTTLS", 220:
                return NotOpened("octets in clear behind the reply to STARTTLS") if self._lines else HandshakeDue()
            case "STARTTLS", _:
                return Opened()
            case _:
                return NotOpened(f"{self._waits_for}: {reply}", reply)
        return None

    def _say(self, command: str) -> None:
        self._waits_for = command.partition(" ")[0]
        self._out += f"{command}\r\n".encode("ascii")
