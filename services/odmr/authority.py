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
from shared.protocol.sasl.transcript import Transcript

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


class Asks(Protocol):
    """The bus as this module needs it."""

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        """Asks; raises NoAnswer."""
        ...


class Authority:
    """Puts one SASL step to auth."""

    def __init__(self, bus: Asks) -> None:
        self._bus = bus

    async def verify(
        self, transcript: Transcript, session_id: SessionId, peer: str, *, is_tls: bool
    ) -> Continue | Identity | Denied | Unavailable:
        """Auth's answer. An answer to another request, or one that makes no sense, is none."""
        request = payloads.VerifyRequest(
            request_id=secrets.token_hex(16),
            session_id=str(session_id),
            mechanism=transcript.mechanism,
            initial=transcript.initial,
            steps=tuple(payloads.Step(x.challenge, x.response) for x in transcript.exchanges),
            peer=peer,
            is_tls=is_tls,
        )
        try:
            data = await self._bus.request(subjects.AUTH_VERIFY, payloads.encode(request), ANSWER_TIME)
            answer = payloads.decode(payloads.VerifyAnswer, data)
            if answer.request_id != request.request_id:
                raise payloads.BadPayload("an answer to another request")
            return _read(answer, transcript.mechanism)
        except (NoAnswer, payloads.BadPayload, ValueError) as error:
            log.warning("auth.no_answer", error=str(error))
            return Unavailable()


def _read(answer: payloads.VerifyAnswer, mechanism: str) -> Continue | Identity | Denied | Unavailable:
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
            )
        case "denied":
            return Denied()
        case _:
            return Unavailable()
