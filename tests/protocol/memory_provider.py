"""The provider's machines joined in memory, with customers in a dict: no network, no clock, no database."""

from collections import deque

from shared.protocol import reply as r
from shared.protocol.events import (
    AuthStep,
    ContentWanted,
    Continue,
    Counted,
    CountRequested,
    Denied,
    Granted,
    ProviderAnswer,
    Ready,
    Refuse,
    Say,
    SenderEnded,
    StartTls,
    Turn,
    TurnRequested,
    Waiting,
)
from shared.protocol.flight import Transaction
from shared.protocol.provider import ProviderConnection, ProviderProfile
from shared.protocol.sasl import cram_md5, scram
from shared.protocol.sasl.transcript import Transcript
from shared.protocol.sender import SmtpSender
from shared.protocol.states import State
from tests.protocol.dialogue import BODY, CUSTOMERS, REVERSE_PATH

PROFILE = ProviderProfile("mx.provider.example", mechanisms_in_clear=(scram.NAME, cram_md5.NAME), has_starttls=True)


class MemoryProvider:
    """Bytes in by `receive`, bytes out of it."""

    def __init__(self, mail: tuple[str, ...] = ()) -> None:
        self._machine = ProviderConnection(PROFILE)
        self._sender: SmtpSender | None = None
        self._mail = deque(mail)
        self._turned_for: tuple[str, ...] = ()
        self._domains: tuple[str, ...] = ()
        self._challenges = 0
        self._is_live = False
        self._key = 0
        self.is_closed = False
        #: What the machines told their driver, for comparisons.
        self.events: list[object] = []

    def greeting(self) -> bytes:
        """What is said first."""
        return self._machine.greeting()

    def receive(self, data: bytes) -> bytes:
        """Takes bytes (b"" is the end) and gives the answer to them."""
        if self._sender is not None:
            self._sender.receive_data(data)
            return self._send_mail()
        self._machine.receive_data(data)
        out = bytearray()
        while not self.is_closed:
            event = self._machine.next_event()
            if isinstance(event, Waiting):
                break
            self.events.append(event)
            match event:
                case Say(said):
                    out += said
                case AuthStep(transcript):
                    out += self._machine.send(self._verify(transcript))
                case CountRequested():
                    waiting = [domain for domain in self._mail if domain in self._domains]
                    out += self._machine.send(Counted(len(waiting), len(waiting) * len(BODY)))
                case TurnRequested(domains, is_live):
                    self._is_live = is_live
                    out += self._machine.send(self._decide(domains))
                case StartTls(said):
                    out += said  # no handshake in memory: the customer's side sees the 220
                case _:
                    self.is_closed = True
            if self._machine.state is State.TURNED:
                self._sender = SmtpSender("mx.provider.example")
                break
        return bytes(out)

    def _verify(self, transcript: Transcript) -> ProviderAnswer:
        if transcript.mechanism == scram.NAME:
            return self._verify_scram(transcript)
        if not transcript.exchanges:
            self._challenges += 1
            return Continue(f"<{self._challenges}.1@mx.provider.example>".encode())
        exchange = transcript.exchanges[0]
        response = cram_md5.parse_response(exchange.response)
        secret, domains = CUSTOMERS.get(response.authcid if response else "", ("", ()))
        if response is None or not secret or not cram_md5.is_proof(response, secret.encode(), exchange.challenge):
            return Denied()
        self._domains = domains
        return Granted()

    def _verify_scram(self, transcript: Transcript) -> ProviderAnswer:
        responses, challenges = transcript.responses, transcript.challenges
        first = scram.parse_client_first(responses[0]) if responses else None
        if first is None:
            return Denied() if responses else Continue(b"")
        secret, domains = CUSTOMERS.get(first.authcid, ("", ()))
        keys = scram.derive(secret.encode(), b"salt of all here")
        if len(responses) == 1:
            return Continue(scram.server_first(first, "server", keys.salt, keys.iterations))
        final = scram.parse_client_final(responses[1])
        if final is None or not scram.is_proof(first, challenges[1], final, keys):
            return Denied()
        if len(responses) == 2:
            return Continue(scram.server_final(first, challenges[1], final, keys))
        self._domains = domains
        return Granted()

    def _decide(self, asked: tuple[str, ...]) -> ProviderAnswer:
        domains = asked or self._domains
        if not set(domains) <= set(self._domains):
            return Refuse(r.S450_NOT_YOURS)
        if not self._is_live and not set(self._mail) & set(domains):
            return Refuse(r.S453_NO_MAIL)
        self._turned_for = domains
        return Turn()

    def _send_mail(self) -> bytes:
        assert self._sender is not None
        out = bytearray()
        while not isinstance(event := self._sender.next_event(), Waiting):
            self.events.append(event)
            match event:
                case Ready():
                    waiting = [domain for domain in self._mail if domain in self._turned_for]
                    if not waiting:
                        if not self._is_live and not self._sender.in_flight:
                            self._sender.quit()
                    else:
                        self._mail.remove(waiting[0])
                        self._key += 1
                        self._sender.begin(Transaction(self._key, REVERSE_PATH, (f"user@{waiting[0]}",), len(BODY)))
                case ContentWanted():
                    self._sender.write_content(BODY)
                    self._sender.end_content()
                case SenderEnded():
                    self.is_closed = True
                case _:
                    pass
            out += self._sender.data_to_send()
        return bytes(out) + self._sender.data_to_send()


class MemoryLine:
    """A MemoryProvider as a dialogue sees it."""

    def __init__(self, provider: MemoryProvider) -> None:
        self._provider = provider
        self._out = bytearray(provider.greeting())

    async def send(self, data: bytes) -> None:
        """Says it, an octet at a time."""
        for i in range(len(data)):
            if self._provider.is_closed:
                return
            self._out += self._provider.receive(data[i : i + 1])

    async def read_line(self) -> bytes | None:
        """The next line that the provider said."""
        end = self._out.find(b"\n")
        if end < 0:
            assert self._provider.is_closed, f"the provider waits, and has said {bytes(self._out)!r}"
            return None
        line = bytes(self._out[: end + 1])
        del self._out[: end + 1]
        return line

    async def close(self) -> None:
        """Hangs up."""
        if not self._provider.is_closed:
            self._out += self._provider.receive(b"")
            self._provider.is_closed = True
