"""Auth's words on the bus: verify, key and mint. A fault of ours answers `unavailable`, which the customer hears as 454."""

from typing import Final
from uuid import UUID

import structlog

from services.auth.issuer import BadRequest
from services.auth.minter import Minter
from services.auth.verifier import Channel, Proven, Verifier
from shared import metrics
from shared.bus import payloads
from shared.failpoint import failpoint
from shared.protocol.events import Continue, Denied, Unavailable
from shared.protocol.sasl import cram_md5, external, plain, scram
from shared.protocol.sasl.transcript import Exchange, Transcript
from shared.sealed import NotForUs, open_sealed, public_key_of
from shared.storage.reading import Conflict

log = structlog.get_logger()

#: Those of which there are figures; a client may name anything.
MECHANISMS: Final = frozenset({cram_md5.NAME, scram.NAME, plain.NAME, external.NAME})


class Responder:
    """Turns requests into answers. `bus_key` opens what was sealed to us."""

    def __init__(self, verifier: Verifier, minter: Minter, bus_key: bytes) -> None:
        self._verifier = verifier
        self._minter = minter
        self._bus_key = bus_key

    async def key(self, _subject: str, data: bytes) -> bytes | None:
        """The key to seal to."""
        try:
            request = payloads.decode(payloads.KeyRequest, data)
        except payloads.BadPayload as error:
            log.warning("auth.bad_request", error=str(error))
            return None
        return payloads.encode(payloads.KeyAnswer(request.request_id, public_key_of(self._bus_key)))

    async def verify(self, _subject: str, data: bytes) -> bytes | None:
        """One SASL step."""
        try:
            request = payloads.decode(payloads.VerifyRequest, data)
        except payloads.BadPayload as error:
            log.warning("auth.bad_request", error=str(error))
            return None
        failpoint("auth.verify")
        mechanism = request.mechanism if request.mechanism in MECHANISMS else "other"
        with metrics.AUTH_DURATION.labels(mechanism).time():
            answer = await self._verified(request)
        if answer.verdict != "continue":
            metrics.AUTH_ATTEMPTS.labels(mechanism, answer.verdict).inc()
        return payloads.encode(answer)

    async def _verified(self, request: payloads.VerifyRequest) -> payloads.VerifyAnswer:
        known = log.bind(session_id=request.session_id, mechanism=request.mechanism, peer=request.peer)
        if request.version != payloads.VERSION:
            known.warning("auth.other_version", version=request.version)
            return payloads.VerifyAnswer(request.request_id, "unavailable")
        channel = Channel(request.session_id, request.peer, request.is_tls, request.certificate)
        try:
            verdict = await self._verifier.verify(self._transcript_of(request), channel)
        except Exception:
            known.exception("auth.unavailable")
            return payloads.VerifyAnswer(request.request_id, "unavailable")
        match verdict:
            case Continue(challenge):
                return payloads.VerifyAnswer(request.request_id, "continue", challenge=challenge)
            case Denied():
                known.info("auth.denied")
                return payloads.VerifyAnswer(request.request_id, "denied")
            case Unavailable():
                known.warning("auth.throttled")
                return payloads.VerifyAnswer(request.request_id, "unavailable")
            case Proven(credential, domains):
                known.info("auth.granted", authcid=credential.authcid, customer_id=str(credential.customer_id))
                return payloads.VerifyAnswer(
                    request.request_id,
                    "granted",
                    customer_id=str(credential.customer_id),
                    credential_id=str(credential.id),
                    authcid=credential.authcid,
                    domains=domains,
                    when_empty=credential.when_empty,
                    aliases=credential.aliases,
                )

    def _transcript_of(self, request: payloads.VerifyRequest) -> Transcript:
        """Raises NotForUs: a secret that travelled in clear, or was sealed to another key, proves nothing."""
        if request.mechanism == plain.NAME and not request.is_sealed:
            raise NotForUs

        def opened(response: bytes) -> bytes:
            return open_sealed(self._bus_key, response, request.request_id.encode()) if request.is_sealed else response

        initial = None if request.initial is None else opened(request.initial)
        return Transcript(
            request.mechanism, initial, tuple(Exchange(step.challenge, opened(step.response)) for step in request.steps)
        )

    async def mint(self, _subject: str, data: bytes) -> bytes | None:
        """A new credential with a secret of ours; told once."""
        try:
            request = payloads.decode(payloads.MintRequest, data)
            UUID(request.customer_id)
        except (payloads.BadPayload, ValueError) as error:
            log.warning("auth.bad_request", error=str(error))
            return None
        try:
            return payloads.encode(await self._minter.mint(request))
        except BadRequest:
            return payloads.encode(payloads.MintAnswer(request.request_id, error="bad_request"))
        except Conflict:
            return payloads.encode(payloads.MintAnswer(request.request_id, error="conflict"))
        except Exception:
            log.exception("auth.mint_failed")
            return payloads.encode(payloads.MintAnswer(request.request_id, error="unavailable"))
