"""The provider's side of a session up to the turn. RFC 2645 4 and 5, RFC 3207, RFC 4954.

Security: talks to strangers until AUTH. Bytes that wait where the line changes its nature (STARTTLS, the turn) end the
connection: they were said in the clear, or before our reply.
"""

from dataclasses import dataclass
from typing import Final, assert_never

from shared.protocol import reply as r
from shared.protocol.events import (
    NEED_DATA,
    PAUSED,
    AuthStep,
    Continue,
    Counted,
    CountRequested,
    Denied,
    Ended,
    Granted,
    ProviderAnswer,
    ProviderEvent,
    Refuse,
    Say,
    Shutdown,
    StartTls,
    Turn,
    TurnRequested,
    Unavailable,
)
from shared.protocol.grammar import (
    BadSyntax,
    Command,
    decode_base64,
    encode_base64,
    parse_atrn,
    parse_auth,
    parse_command,
)
from shared.protocol.sasl import cram_md5, external
from shared.protocol.sasl.transcript import Transcript
from shared.protocol.states import ANSWERS, COMMANDS, IN_CLEAR, State, refusal
from shared.protocol.wire import MAX_ODMR_LINE, LineBuffer, LineTooLong

#: Failed AUTH in one session. RFC 4954 9: not before 3; RELIABILITY T6: 5.
MAX_AUTH_FAILURES: Final = 5
#: Refused commands in one session. Postfix smtpd_hard_error_limit.
MAX_ERRORS: Final = 20
#: Commands that move nothing (NOOP, RSET) in one session. Postfix smtpd_junk_command_limit.
MAX_JUNK: Final = 100

#: Mechanisms in which the server speaks first. RFC 4954 4: they take no initial response.
_SERVER_FIRST: Final = frozenset({cram_md5.NAME})


class LocalProtocolError(Exception):
    """The driver gave an answer that the state does not ask for: our bug."""


@dataclass(frozen=True, slots=True)
class ProviderProfile:
    """What this listener offers. Mechanisms are those that may be used in clear, and those that may under TLS.

    EXTERNAL is no matter of settings: it is offered where TLS has verified a certificate of the client (RFC 4422 A).
    """

    hostname: str
    mechanisms_in_clear: tuple[str, ...] = ("CRAM-MD5",)
    mechanisms_under_tls: tuple[str, ...] = ("CRAM-MD5",)
    has_starttls: bool = False
    #: In clear nothing but NOOP, EHLO, STARTTLS and QUIT. RFC 3207 4.
    requires_tls: bool = False


class ProviderConnection:
    """Bytes in, events out. The order: `receive_data`, `next_event` until it waits, `send` for what it asked."""

    def __init__(self, profile: ProviderProfile, *, under_tls: bool = False, has_certificate: bool = False) -> None:
        self.state = State.CONNECTED
        self._profile = profile
        self._under_tls = under_tls
        self._has_certificate = has_certificate
        self._lines = LineBuffer(MAX_ODMR_LINE)
        self._transcript = Transcript("")
        self._challenge = b""
        self._is_live = False
        self._wants_ids = False
        self._auth_failures = 0
        self._errors = 0
        self._junk = 0
        self._eof = False

    def greeting(self) -> bytes:
        """What is said first. RFC 5321 4.2."""
        return r.greeting(self._profile.hostname, "ESMTP ODMR ready").to_wire()

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What AUTH offers now."""
        if not self._under_tls:
            return () if self._profile.requires_tls else self._profile.mechanisms_in_clear
        certified = (external.NAME,) if self._has_certificate else ()
        return certified + self._profile.mechanisms_under_tls

    def receive_data(self, data: bytes) -> None:
        """Takes bytes as they came; b"" means that the peer closed."""
        if data:
            self._lines.feed(data)
        else:
            self._eof = True

    def next_event(self) -> ProviderEvent:
        """The next thing to do."""
        if self.state is State.CLOSED:
            return Ended("closed")
        if self.state in (State.VERIFYING, State.COUNTING, State.TURNING, State.SECURING, State.TURNED):
            return PAUSED
        try:
            line = self._lines.next_line()
        except LineTooLong:
            return self._too_long()
        if line is None:
            if self._eof:
                self.state = State.CLOSED
                return Ended("the customer closed the connection")
            return NEED_DATA
        return self._response(line) if self.state is State.CHALLENGED else self._command(line)

    def send(self, answer: ProviderAnswer) -> bytes:
        """The octets that say the answer. Raises LocalProtocolError when the state does not ask for it."""
        try:
            state = ANSWERS[self.state][type(answer)]
        except KeyError:
            raise LocalProtocolError(f"{type(answer).__name__} in {self.state}") from None
        self.state = state
        match answer:
            case Continue(challenge):
                self._challenge = challenge
                return r.challenge(encode_base64(challenge)).to_wire()
            case Granted():
                return r.S235_AUTHENTICATED.to_wire()
            case Denied():
                return self._denied()
            case Unavailable():
                return r.S454_AUTH_UNAVAILABLE.to_wire()
            case Turn():
                if self._lines:  # nothing may stand between ATRN and our reply to it
                    self.state = State.CLOSED
                    return r.S421_EARLY_BYTES.to_wire()
                return r.S250_TURNING.to_wire()
            case Counted(messages, octets):
                return r.counted(messages, octets).to_wire()
            case Refuse(reply) | Shutdown(reply):
                return reply.to_wire()
            case _:
                assert_never(answer)

    def tls_started(self) -> None:
        """The handshake is done: forget everything that was said before. RFC 3207 4.2."""
        if self.state is not State.SECURING:
            raise LocalProtocolError(f"TLS in {self.state}")
        self.state = State.CONNECTED
        self._under_tls = True

    def _command(self, line: bytes) -> ProviderEvent:
        try:
            command = parse_command(line)
        except BadSyntax as error:
            return self._refuse(r.S500_UNKNOWN_COMMAND, str(error))
        if command.verb == "XODMR":  # ours, DESIGN 5: what follows is part of the verb
            command = Command(f"XODMR {command.argument.upper()}".strip(), "")
        state = COMMANDS[self.state].get(command.verb)
        if self._profile.requires_tls and not self._under_tls and command.verb not in IN_CLEAR:
            return self._refuse(r.S530_TLS_FIRST, f"{command.verb} in clear")
        if state is None:
            return self._refuse(refusal(self.state, command.verb), f"{command.verb} in {self.state.value}")
        match command.verb:
            case "EHLO":
                return self._hello(command)
            case "AUTH":
                return self._auth(command)
            case "STARTTLS":
                return self._starttls(command)
            case "ATRN":
                return self._atrn(command)
            case "XODMR LIVE":
                self._is_live = True
                return Say(r.S250_LIVE.to_wire(), command.verb)
            case "XODMR ID":
                self._wants_ids = True
                return Say(r.S250_IDS.to_wire(), command.verb)
            case "XODMR STAT":
                self._junk += 1
                if self._junk > MAX_JUNK:
                    return self._close(r.S421_TOO_MANY_ERRORS, "too many XODMR STAT")
                self.state = state
                return CountRequested()
            case "QUIT":
                self.state = state
                return Say(r.S221_BYE.to_wire(), "QUIT")
            case _:
                return self._nothing(command)

    def _nothing(self, command: Command) -> ProviderEvent:
        self._junk += 1
        if self._junk > MAX_JUNK:
            return self._close(r.S421_TOO_MANY_ERRORS, "too many commands that do nothing")
        return Say(r.S250_OK.to_wire(), command.verb)

    def _hello(self, command: Command) -> ProviderEvent:
        if not command.argument:
            return self._refuse(r.S501_SYNTAX, "EHLO without a name")
        self._junk += 1
        if self._junk > MAX_JUNK:
            return self._close(r.S421_TOO_MANY_ERRORS, "too many EHLO")
        if self.state is State.CONNECTED:
            self.state = State.INITIAL
        keywords = ["ENHANCEDSTATUSCODES", "XODMR LIVE STAT ID", "ATRN"]
        if self.mechanisms:
            keywords.insert(1, f"AUTH {' '.join(self.mechanisms)}")
        if self._profile.has_starttls and not self._under_tls:
            keywords.insert(1, "STARTTLS")
        return Say(r.hello(self._profile.hostname, tuple(keywords)).to_wire(), "EHLO")

    def _starttls(self, command: Command) -> ProviderEvent:
        if self._under_tls:
            return self._refuse(r.S503_TLS_ACTIVE, "STARTTLS under TLS")
        if not self._profile.has_starttls:
            return self._refuse(r.S502_NOT_HERE, "no STARTTLS on this port")
        if command.argument:
            return self._refuse(r.S501_SYNTAX, "STARTTLS with an argument")  # RFC 3207 4
        if self._lines:  # RFC 3207 4.2: never run under TLS what came in clear
            return self._close(r.S421_EARLY_BYTES, "bytes behind STARTTLS")
        self.state = State.SECURING
        return StartTls(r.S220_READY_FOR_TLS.to_wire())

    def _auth(self, command: Command) -> ProviderEvent:
        try:
            mechanism, encoded = parse_auth(command.argument)
        except BadSyntax as error:
            return self._refuse(r.S501_SYNTAX, str(error))
        if mechanism not in self.mechanisms:
            return self._refuse(r.S504_UNKNOWN_MECHANISM, f"mechanism {mechanism}")
        if encoded is not None and mechanism in _SERVER_FIRST:
            return self._refuse(r.S501_NO_INITIAL_RESPONSE, f"{mechanism} with an initial response")
        try:
            initial = None if encoded is None else decode_base64(encoded)
        except BadSyntax:
            return self._refuse(r.S501_BAD_BASE64, "AUTH")
        self._transcript = Transcript(mechanism, initial)
        self.state = State.VERIFYING
        return AuthStep(self._transcript)

    def _response(self, line: bytes) -> ProviderEvent:
        self.state = State.INITIAL
        if line == b"*":  # RFC 4954 4
            return self._refuse(r.S501_ABORTED, "the client gave up AUTH")
        try:
            response = decode_base64(line.decode("latin-1"))
        except BadSyntax:
            return self._refuse(r.S501_BAD_BASE64, "AUTH")
        self._transcript = self._transcript.followed_by(self._challenge, response)
        self.state = State.VERIFYING
        return AuthStep(self._transcript)

    def _denied(self) -> bytes:
        self._auth_failures += 1
        denied = r.S535_DENIED.to_wire()
        if self._auth_failures < MAX_AUTH_FAILURES:
            return denied
        self.state = State.CLOSED
        return denied + r.S421_TOO_MANY_ERRORS.to_wire()

    def _atrn(self, command: Command) -> ProviderEvent:
        try:
            domains = parse_atrn(command.argument)
        except BadSyntax as error:
            return self._refuse(r.S501_SYNTAX, str(error))
        self.state = State.TURNING
        return TurnRequested(domains, self._is_live, self._wants_ids)

    def _too_long(self) -> ProviderEvent:
        if self.state is State.CHALLENGED:
            self.state = State.INITIAL
            return self._refuse(r.S500_AUTH_TOO_LONG, "AUTH line")
        return self._refuse(r.S500_LINE_TOO_LONG, "command line")

    def _refuse(self, reply: r.Reply, why: str) -> ProviderEvent:
        self._errors += 1
        if self._errors > MAX_ERRORS:
            return self._close(r.S421_TOO_MANY_ERRORS, "too many errors")
        return Say(reply.to_wire(), why)

    def _close(self, reply: r.Reply, why: str) -> ProviderEvent:
        self.state = State.CLOSED
        return Say(reply.to_wire(), why)
