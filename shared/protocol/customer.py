"""The customer's side of a session up to the turn. RFC 2645 5, RFC 3207, RFC 4954.

Security: with `require_tls` nothing but EHLO and STARTTLS is said in clear, so that a stripped STARTTLS fails closed.
"""

import enum
from dataclasses import dataclass, field

from shared.protocol.events import NEED_DATA, PAUSED, CustomerEvent, Refused, Say, StartTls, Turned
from shared.protocol.grammar import BadSyntax, decode_base64, encode_base64
from shared.protocol.reply import BadReply, Reply, ReplyReader
from shared.protocol.sasl import cram_md5
from shared.protocol.wire import MAX_ODMR_LINE, LineBuffer, LineTooLong


class Step(enum.Enum):
    """What the customer has said and waits for an answer to; the words are for the log."""

    GREETING = "greeting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    RESPONSE = "AUTH response"
    LIVE = "XODMR LIVE"
    ATRN = "ATRN"
    TURNED = "turned"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class CustomerProfile:
    """Who we are to the provider and what we ask of it. Empty domains ask for all."""

    hostname: str
    authcid: str
    secret: bytes = field(repr=False)
    domains: tuple[str, ...] = ()
    require_tls: bool = True
    #: Ask for a session that stays and is pushed to; without it at the provider the session is as any other.
    is_live: bool = False


class CustomerConnection:
    """Bytes in, events out, until the turn; then the line is the local server's."""

    def __init__(self, profile: CustomerProfile, *, under_tls: bool = False) -> None:
        self.step = Step.GREETING
        self._profile = profile
        self._under_tls = under_tls
        self._lines = LineBuffer(MAX_ODMR_LINE)
        self._replies = ReplyReader()
        self._eof = False
        self._offers_live = False

    def receive_data(self, data: bytes) -> None:
        """Takes bytes as they came; b"" means that the provider closed."""
        if data:
            self._lines.feed(data)
        else:
            self._eof = True

    def next_event(self) -> CustomerEvent:
        """The next thing to do. Refused ends the session."""
        if self.step in (Step.TURNED, Step.OVER):
            return PAUSED
        try:
            while (line := self._lines.next_line()) is not None:
                reply = self._replies.add(line)
                if reply is not None:
                    return self._answer(reply)
        except (BadReply, LineTooLong) as error:
            return self._stop(Reply(500, "", (f"the provider sent what is no reply: {error}",)))
        if self._eof:
            return self._stop(Reply(421, "", ("the provider closed the connection",)))
        return NEED_DATA

    def tls_started(self) -> bytes:
        """The handshake is done: say EHLO anew. RFC 3207 4.2."""
        self._under_tls = True
        self.step = Step.EHLO
        return self._ehlo()

    def _answer(self, reply: Reply) -> CustomerEvent:
        match self.step, reply.code:
            case Step.GREETING, 220:
                self.step = Step.EHLO
                return Say(self._ehlo())
            case Step.EHLO, 250:
                return self._greeted(reply)
            case Step.STARTTLS, 220:
                if self._lines:  # bytes in clear behind the 220 would count as said under TLS
                    return self._stop(Reply(500, "", ("the provider sent bytes before the TLS handshake",)))
                return StartTls(b"")
            case Step.AUTH, 334:
                return self._respond(reply)
            case ((Step.AUTH | Step.RESPONSE), 235) if self._profile.is_live and self._offers_live:
                self.step = Step.LIVE
                return Say(b"XODMR LIVE\r\n")
            case ((Step.AUTH | Step.RESPONSE), 235):
                return self._atrn()
            case Step.LIVE, _:  # a provider that changed its mind turns us all the same
                return self._atrn()
            case Step.ATRN, 250:
                self.step = Step.TURNED
                return Turned(self._lines.take_rest())
            case _:
                return self._stop(reply)

    def _greeted(self, reply: Reply) -> CustomerEvent:
        keywords = {line.split(" ")[0].upper(): line.upper().split()[1:] for line in reply.lines[1:] if line}
        if not self._under_tls and (self._profile.require_tls or "STARTTLS" in keywords):
            if "STARTTLS" not in keywords:
                return self._stop(Reply(500, "", ("the provider offers no STARTTLS, and TLS is required",)))
            self.step = Step.STARTTLS
            return Say(b"STARTTLS\r\n")
        if "ATRN" not in keywords:
            return self._stop(Reply(502, "", ("this server does not offer ATRN; is it the ODMR port?",)))
        if cram_md5.NAME not in keywords.get("AUTH", []):
            return self._stop(Reply(504, "", ("the provider does not offer CRAM-MD5 here",)))
        self._offers_live = "LIVE" in keywords.get("XODMR", [])
        self.step = Step.AUTH
        return Say(b"AUTH CRAM-MD5\r\n")

    def _atrn(self) -> CustomerEvent:
        self.step = Step.ATRN
        names = f" {','.join(self._profile.domains)}" if self._profile.domains else ""
        return Say(f"ATRN{names}\r\n".encode("ascii"))

    def _respond(self, reply: Reply) -> CustomerEvent:
        try:
            challenge = decode_base64(reply.lines[0])
        except BadSyntax:
            return self._stop(Reply(500, "", ("the provider's challenge is no base64",)))
        self.step = Step.RESPONSE
        response = cram_md5.respond(self._profile.authcid, self._profile.secret, challenge)
        return Say(encode_base64(response).encode("ascii") + b"\r\n")

    def _ehlo(self) -> bytes:
        return f"EHLO {self._profile.hostname}\r\n".encode("ascii")

    def _stop(self, reply: Reply) -> CustomerEvent:
        step, self.step = self.step, Step.OVER
        return Refused(step.value, reply)
