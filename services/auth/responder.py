"""Auth's words on the bus: verify and mint. A fault of ours answers `unavailable`, which the customer hears as 454."""

from uuid import UUID

import structlog

from services.auth.seal import Seal
from services.auth.verifier import Proven, Verifier
from shared.bus import payloads
from shared.clock import Clock
from shared.domain.names import CredentialId, CustomerId
from shared.failpoint import failpoint
from shared.protocol.events import Continue, Denied
from shared.protocol.sasl import cram_md5
from shared.protocol.sasl.transcript import Exchange, Transcript
from shared.storage.credentials import Credential, Credentials
from shared.storage.customers import Conflict

log = structlog.get_logger()


class Responder:
    """Turns requests into answers."""

    def __init__(self, verifier: Verifier, credentials: Credentials, seal: Seal, clock: Clock) -> None:
        self._verifier = verifier
        self._credentials = credentials
        self._seal = seal
        self._clock = clock

    async def verify(self, _subject: str, data: bytes) -> bytes | None:
        """One SASL step."""
        try:
            request = payloads.decode(payloads.VerifyRequest, data)
        except payloads.BadPayload as error:
            log.warning("auth.bad_request", error=str(error))
            return None
        failpoint("auth.verify")
        return payloads.encode(await self._verified(request))

    async def _verified(self, request: payloads.VerifyRequest) -> payloads.VerifyAnswer:
        known = log.bind(session_id=request.session_id, mechanism=request.mechanism, peer=request.peer)
        exchanges = tuple(Exchange(step.challenge, step.response) for step in request.steps)
        transcript = Transcript(request.mechanism, request.initial, exchanges)
        if request.version != payloads.VERSION:
            known.warning("auth.other_version", version=request.version)
            return payloads.VerifyAnswer(request.request_id, "unavailable")
        try:
            verdict = await self._verifier.verify(transcript, request.session_id)
        except Exception:
            known.exception("auth.unavailable")
            return payloads.VerifyAnswer(request.request_id, "unavailable")
        match verdict:
            case Continue(challenge):
                return payloads.VerifyAnswer(request.request_id, "continue", challenge=challenge)
            case Denied():
                known.info("auth.denied")
                return payloads.VerifyAnswer(request.request_id, "denied")
            case Proven(credential, domains):
                known.info("auth.granted", authcid=credential.authcid, customer_id=str(credential.customer_id))
                return payloads.VerifyAnswer(
                    request.request_id,
                    "granted",
                    customer_id=str(credential.customer_id),
                    credential_id=str(credential.id),
                    authcid=credential.authcid,
                    domains=domains,
                )

    async def mint(self, _subject: str, data: bytes) -> bytes | None:
        """A new credential with a secret of ours; told once."""
        try:
            request = payloads.decode(payloads.MintRequest, data)
            customer_id = CustomerId(UUID(request.customer_id))
        except (payloads.BadPayload, ValueError) as error:
            log.warning("auth.bad_request", error=str(error))
            return None
        try:
            return payloads.encode(await self._minted(request, customer_id))
        except Conflict:
            return payloads.encode(payloads.MintAnswer(request.request_id, error="conflict"))
        except Exception:
            log.exception("auth.mint_failed")
            return payloads.encode(payloads.MintAnswer(request.request_id, error="unavailable"))

    async def _minted(self, request: payloads.MintRequest, customer_id: CustomerId) -> payloads.MintAnswer:
        credential_id = CredentialId(self._clock.new_id())
        secret = self._clock.new_secret()
        authcid = request.authcid or f"odmr-{credential_id.hex[-12:]}"
        sealed = self._seal.seal(secret.encode(), credential_id.bytes)
        await self._credentials.add(Credential(credential_id, customer_id, authcid, sealed, (cram_md5.NAME,)))
        log.info("credential.created", credential_id=str(credential_id), customer_id=str(customer_id))
        return payloads.MintAnswer(request.request_id, str(credential_id), authcid, secret)
