"""Auth's word, asked over the bus. Nobody there, or no answer in time, is Unavailable: 454, never 535."""

import secrets
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

import structlog

from shared.bus import payloads, subjects
from shared.bus.connection import NoAnswer
from shared.domain.names import CredentialId, CustomerId, SessionId
from shared.protocol.events import Continue, Denied, Unavailable
from shared.protocol.sasl import plain
from shared.protocol.sasl.transcript import Transcript
from shared.sealed import seal_to

log = structlog.get_logger()

#: Seconds. RELIABILITY K9: 454 within 3 s.
ANSWER_TIME: Final = 2.5


@dataclass(frozen=True, slots=True)
class Identity:
    """A customer that has proved who it is, and the domains it may ask for."""

    customer_id: CustomerId
    credential_id: CredentialId
    authcid: str
    mechanism: str
    domains: tuple[str, ...]
    #: What an ATRN on an empty queue gets: refuse, turn or live (shared.storage.credentials).
    when_empty: str = "refuse"
    #: Names that stand for all domains: what an old client sends in place of them.
    aliases: tuple[str, ...] = ()

    def resolve(self, asked: tuple[str, ...]) -> tuple[str, ...] | None:
        """The domains that an ATRN means; None when one of them is not ours to give, and then none is (RFC 2645 5.2.1)."""
        if not asked or set(asked) & set(self.aliases):
            asked = tuple(dict.fromkeys((*(name for name in asked if name not in self.aliases), *self.domains)))
        return asked if asked and set(asked) <= set(self.domains) else None


class Asks(Protocol):
    """The bus as this module needs it."""

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        """Asks; raises NoAnswer."""
        ...


@dataclass(frozen=True, slots=True)
class Channel:
    """What we know of the line: `certificate` is the SHA-256 of the client's, where TLS has verified one."""

    session_id: SessionId
    peer: str
    is_tls: bool
    certificate: bytes = b""


class Authority:
    """Puts one SASL step to auth."""

    def __init__(self, bus: Asks) -> None:
        self._bus = bus
        self._key = b""

    async def verify(self, transcript: Transcript, channel: Channel) -> Continue | Identity | Denied | Unavailable:
        """Auth's answer. An answer to another request, or one that makes no sense, is none."""
        request_id = secrets.token_hex(16)
        is_sealed = transcript.mechanism == plain.NAME
        try:
            if is_sealed and not self._key:
                self._key = await self._ask_for_key()

            def sealed(response: bytes) -> bytes:
                return seal_to(self._key, response, request_id.encode()) if is_sealed else response

            request = payloads.VerifyRequest(
                request_id=request_id,
                session_id=str(channel.session_id),
                mechanism=transcript.mechanism,
                initial=None if transcript.initial is None else sealed(transcript.initial),
                steps=tuple(payloads.Step(x.challenge, sealed(x.response)) for x in transcript.exchanges),
                peer=channel.peer,
                is_tls=channel.is_tls,
                certificate=channel.certificate,
                is_sealed=is_sealed,
            )
            data = await self._bus.request(subjects.AUTH_VERIFY, payloads.encode(request), ANSWER_TIME)
            answer = payloads.decode(payloads.VerifyAnswer, data)
            if answer.request_id != request_id:
                raise payloads.BadPayload("an answer to another request")
            return self._read(answer, transcript.mechanism)
        except (NoAnswer, payloads.BadPayload, ValueError) as error:
            log.warning("auth.no_answer", error=str(error))
            return Unavailable()

    async def _ask_for_key(self) -> bytes:
        request = payloads.KeyRequest(secrets.token_hex(16))
        data = await self._bus.request(subjects.AUTH_KEY, payloads.encode(request), ANSWER_TIME)
        answer = payloads.decode(payloads.KeyAnswer, data)
        if answer.request_id != request.request_id:
            raise payloads.BadPayload("an answer to another request")
        return answer.public_key

    def _read(self, answer: payloads.VerifyAnswer, mechanism: str) -> Continue | Identity | Denied | Unavailable:
        match answer.verdict:
            case "continue":
                return Continue(answer.challenge)
            case "granted":
                return Identity(
                    CustomerId(UUID(answer.customer_id)),
                    CredentialId(UUID(answer.credential_id)),
                    answer.authcid,
                    mechanism,
                    answer.domains,
                    answer.when_empty,
                    answer.aliases,
                )
            case "denied":
                return Denied()
            case _:
                self._key = b""  # perhaps auth has another one now
                return Unavailable()
