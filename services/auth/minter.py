"""Makes credentials: the secret is ours and random, told once, and kept only in the forms that its mechanisms need."""

import hashlib
import secrets
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from services.auth.issuer import issue
from services.auth.keyring import Keyring
from shared.bus import payloads
from shared.clock import Clock
from shared.domain.names import CredentialId, CustomerId
from shared.protocol.sasl import cram_md5, external, plain, scram
from shared.storage.credentials import Credential, Credentials

log = structlog.get_logger()

#: What a secret may be used with unless the operator says less. CRAM-MD5 needs it in clear, so it is then kept sealed
#: (R16, RFC 7677 4: flagged by the mechanism's name); without it only SCRAM's keys are kept.
WITH_SECRET: Final = (scram.NAME, cram_md5.NAME, plain.NAME)


class Minter:
    """Answers `auth.mint`. Raises Conflict, BadRequest, ValueError for ids that are none, and the database's errors."""

    def __init__(self, credentials: Credentials, keyring: Keyring, clock: Clock) -> None:
        self._credentials = credentials
        self._keyring = keyring
        self._clock = clock

    async def mint(self, request: payloads.MintRequest) -> payloads.MintAnswer:
        """A new credential, or a new secret for an old one."""
        if request.credential_id:
            return await self._rotate(request, CredentialId(UUID(request.credential_id)))
        credential_id = CredentialId(self._clock.new_id())
        authcid = request.authcid or f"odmr-{credential_id.hex[-12:]}"
        certificate = request.certificate
        if request.certificate_request:
            certificate = issue(request.certificate_request, authcid, self._clock.now())
        secret = "" if certificate else self._clock.new_secret()
        mechanisms = (external.NAME,) if certificate else request.mechanisms or WITH_SECRET
        credential = Credential(
            credential_id,
            CustomerId(UUID(request.customer_id)),
            authcid,
            mechanisms,
            sealed_secret=self._sealed_secret(secret, mechanisms, credential_id),
            sealed_scram=self._sealed_scram(secret, secrets.token_bytes(scram.SALT_SIZE), credential_id),
            certificate=certificate or None,
            certificate_sha256=hashlib.sha256(certificate).digest() if certificate else None,
            when_empty=request.when_empty,
            aliases=request.aliases,
            allowed_domains=request.allowed_domains,
        )
        await self._credentials.add(credential)
        log.info("credential.created", credential_id=str(credential_id), customer_id=request.customer_id)
        issued = certificate if request.certificate_request else b""
        return payloads.MintAnswer(request.request_id, str(credential_id), authcid, secret, issued)

    async def _rotate(self, request: payloads.MintRequest, credential_id: CredentialId) -> payloads.MintAnswer:
        """The salt stays, so that an onlooker's challenge does not tell that the secret changed."""
        known = await self._credentials.find_id(credential_id)
        if known is None or known.sealed_scram is None:
            return payloads.MintAnswer(request.request_id, error="not_found")
        secret = self._clock.new_secret()
        salt = self._keyring.scram_keys_of(known, known.authcid).salt
        sealed_scram = self._sealed_scram(secret, salt, credential_id)
        assert sealed_scram is not None
        await self._credentials.replace_secrets(
            credential_id,
            self._sealed_secret(secret, known.mechanisms, credential_id),
            sealed_scram,
            timedelta(seconds=request.overlap_seconds),
        )
        log.info("credential.rotated", credential_id=str(credential_id))
        return payloads.MintAnswer(request.request_id, str(credential_id), known.authcid, secret)

    def _sealed_secret(self, secret: str, mechanisms: tuple[str, ...], owner: CredentialId) -> bytes | None:
        return self._keyring.seal_secret(secret, owner) if secret and cram_md5.NAME in mechanisms else None

    def _sealed_scram(self, secret: str, salt: bytes, owner: CredentialId) -> bytes | None:
        return self._keyring.seal_scram_keys(scram.derive(secret.encode(), salt), owner) if secret else None
