"""The customer's side of a session up to the turn. RFC 2645 5, RFC 3207, RFC 4954.

Security: with `require_tls` nothing but EHLO and STARTTLS is said in clear, so that a stripped STARTTLS fails closed.
"""

import enum
from dataclasses import dataclass

from shared.protocol.events import NEED_DATA, PAUSED, Checked, CustomerEvent, Refused, Say, StartTls, Turned
from shared.protocol.grammar import BadSyntax, decode_base64, encode_base64
from shared.protocol.reply import BadReply, Reply, ReplyReader
from shared.protocol.sasl.client import ClientMechanism, Login
from shared.protocol.sasl.scram import BadChallenge
from shared.protocol.wire import MAX_ODMR_LINE, LineBuffer, LineTooLong


class Step(enum.Enum):
    """What the customer has said and waits for an answer to; the words are for the log."""

    GREETING = "greeting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    RESPONSE = "AUTH response"
    LIVE = "XODMR LIVE"
    STAT = "XODMR STAT"
    ID = "XODMR ID"
    ATRN = "ATRN"
    TURNED = "turned"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class CustomerProfile:
    """Who we are to the provider and what we ask of it. Empty domains ask for all."""

    hostname: str
    login: Login
    domains: tuple[str, ...] = ()
    require_tls: bool = True
    #: Ask for a session that stays and is pushed to; without it at the provider the session is as any other.
    is_live: bool = False
    #: Ask for XODMRID with each message, by which a ledger knows a repeat.
    wants_ids: bool = False
    #: Log in and ask how much waits, and take no mail.
    only_checks: bool = False


class CustomerConnection:
    """Bytes in, events out, until the turn; then the line is the local server's."""

    def __init__(self, profile: CustomerProfile, *, under_tls: bool = False) -> None:
        self.step = Step.GREETING
        self._profile = profile
        self._under_tls = under_tls
        self._lines = LineBuffer(MAX_ODMR_LINE)
        self._replies = ReplyReader()
        self._eof = False
        self._offers: frozenset[str] = frozenset()
        self._mechanism: ClientMechanism | None = None
        self._is_live = False

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
            case ((Step.AUTH | Step.RESPONSE), 334):
                return self._respond(reply)
            case ((Step.AUTH | Step.RESPONSE), 235) if not self._is_proved():
                return self._stop(Reply(500, "", ("the provider has not proved that it knows the secret",)))
            case ((Step.AUTH | Step.RESPONSE), 235):
                return self._logged_in()
            case Step.ID, _:
                return self._live_or_atrn()
            case Step.LIVE, code:  # a provider that changed its mind turns us all the same
                self._is_live = code == 250
                return self._atrn()
            case Step.STAT, _:
                self.step = Step.OVER
                return Checked(" ".join(reply.lines))
            case Step.ATRN, 250:
                self.step = Step.TURNED
                return Turned(self._lines.take_rest(), self._is_live)
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
        name = self._profile.login.choose(keywords.get("AUTH", []), under_tls=self._under_tls)
        if name is None:
            return self._stop(Reply(504, "", ("the provider offers no mechanism that may be used here",)))
        self._offers = frozenset(keywords.get("XODMR", []))
        self.step = Step.AUTH
        self._mechanism = self._profile.login.begin(name)
        initial = self._mechanism.initial()
        encoded = "" if initial is None else f" {encode_base64(initial) or '='}"  # RFC 4954 4: `=` is the empty one
        return Say(f"AUTH {name}{encoded}\r\n".encode("ascii"), name)

    def _logged_in(self) -> CustomerEvent:
        if self._profile.only_checks and "STAT" in self._offers:
            self.step = Step.STAT
            return Say(b"XODMR STAT\r\n")
        if self._profile.only_checks:
            self.step = Step.OVER
            return Checked("it does not say how much waits")
        if self._profile.wants_ids and "ID" in self._offers:
            self.step = Step.ID
            return Say(b"XODMR ID\r\n")
        return self._live_or_atrn()

    def _live_or_atrn(self) -> CustomerEvent:
        if self._profile.is_live and "LIVE" in self._offers:
            self.step = Step.LIVE
            return Say(b"XODMR LIVE\r\n")
        return self._atrn()

    def _atrn(self) -> CustomerEvent:
        self.step = Step.ATRN
        names = f" {','.join(self._profile.domains)}" if self._profile.domains else ""
        return Say(f"ATRN{names}\r\n".encode("ascii"))

    def _respond(self, reply: Reply) -> CustomerEvent:
        try:
            challenge = decode_base64(reply.lines[0])
        except BadSyntax:
            return self._stop(Reply(500, "", ("the provider's challenge is no base64",)))
        assert self._mechanism is not None
        self.step = Step.RESPONSE
        try:
            response = self._mechanism.respond(challenge)
        except BadChallenge as error:
            return self._stop(Reply(500, "", (f"the provider's challenge is wrong: {error}",)))
        return Say(encode_base64(response).encode("ascii") + b"\r\n")

    def _is_proved(self) -> bool:
        return self._mechanism is not None and self._mechanism.is_satisfied

    def _ehlo(self) -> bytes:
        return f"EHLO {self._profile.hostname}\r\n".encode("ascii")

    def _stop(self, reply: Reply) -> CustomerEvent:
        step, self.step = self.step, Step.OVER
        return Refused(step.value, reply)
