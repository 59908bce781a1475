"""/v1/credentials. Auth makes them; api passes the secret on once and keeps nothing of it."""

import base64
import re
import secrets
import ssl
from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import Field

from services.api.access import PartsOf, needs
from services.api.customers import find_customer_id, get_customer
from services.api.errors import Problem
from services.api.paging import Cursor, Limit, page, read_cursor, read_id
from services.api.parts import Parts
from services.api.schemas import PROBLEMS, DomainText, Input, Page, Shown, read_domain_name
from shared.bus import payloads, subjects
from shared.bus.connection import NoAnswer
from shared.domain.access import Principal
from shared.domain.names import CredentialId, CustomerId, public_id
from shared.storage.credentials import CredentialRecord

#: Seconds that auth has to make a credential.
MINT_TIME: Final = 5.0
#: Octets of a certificate in PEM: an RSA key of 16,384 bits has room.
MAX_PEM: Final = 16_384
#: RFC 7468 7; OpenSSL still writes NEW at times.
_REQUEST: Final = re.compile(
    r"-----BEGIN (NEW )?CERTIFICATE REQUEST-----([^-]*)-----END (?:NEW )?CERTIFICATE REQUEST-----"
)

router = APIRouter(prefix="/v1/credentials", tags=["credentials"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("credentials:read"))]
Writer = Annotated[Principal, Depends(needs("credentials:write"))]

WhenEmpty = Literal["refuse", "turn", "live"]
Alias = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=255)]
AllowedDomains = Annotated[list[DomainText], Field(max_length=100)]
Aliases = Annotated[list[Alias], Field(max_length=20)]


class CredentialInput(Input):
    """A credential to make. Without a name auth chooses one; the secret is always ours.

    `mechanisms`: without CRAM-MD5 the secret itself is not kept, only SCRAM's keys. `certificate` (PEM) makes one for
    EXTERNAL, which has no secret; so does `certificate_request` (PKCS #10, PEM), and the answer has the certificate.
    `when_empty`: what ATRN gets on an empty queue, 453 (refuse), a session that ends at once
    (turn), or one that stays and is pushed to (live). `aliases`: names that a client sends in place of all its domains, such
    as its host name. `allowed_domains`: those of the customer's that it may ask for; all if none is named.
    """

    customer_id: str
    authcid: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$")
    mechanisms: list[Literal["SCRAM-SHA-256", "CRAM-MD5", "PLAIN"]] | None = Field(default=None, min_length=1)
    certificate: str | None = Field(default=None, max_length=MAX_PEM)
    certificate_request: str | None = Field(default=None, max_length=MAX_PEM)
    when_empty: WhenEmpty = "refuse"
    aliases: Aliases = []
    allowed_domains: AllowedDomains = []


class CredentialChange(Input):
    """Policies to change; what is left out stays."""

    when_empty: WhenEmpty | None = None
    aliases: Aliases | None = None
    allowed_domains: AllowedDomains | None = None


class CredentialRotation(Input):
    """For how long the old secret proves it, too, so that whoever uses it can be given the new one."""

    overlap_seconds: int = Field(default=0, ge=0, le=30 * 86_400)


class CredentialOutput(Shown):
    """A credential. `former_until`: until when the secret before the last rotation is good, too."""

    customer_id: str
    authcid: str
    mechanisms: list[str]
    certificate_sha256: str | None
    when_empty: str
    aliases: list[str]
    allowed_domains: list[str]
    former_until: datetime | None
    created_at: datetime
    last_used_at: datetime | None

    @classmethod
    def of(cls, record: CredentialRecord) -> "CredentialOutput":
        """From the spool's own value."""
        return cls(
            id=public_id("cred", record.id),
            customer_id=public_id("cus", record.customer_id),
            authcid=record.authcid,
            mechanisms=list(record.mechanisms),
            certificate_sha256=record.certificate_sha256.hex() if record.certificate_sha256 else None,
            when_empty=record.when_empty,
            aliases=list(record.aliases),
            allowed_domains=list(record.allowed_domains),
            former_until=record.former_until,
            created_at=record.created_at,
            last_used_at=record.last_used_at,
        )


class MintedCredential(CredentialOutput):
    """A credential with its secret, which is told this once; empty for one with a certificate, which is there (PEM) when
    it was asked for by a request."""

    secret: str
    certificate: str | None = None


async def get_credential(parts: Parts, principal: Principal, text: str) -> CredentialRecord:
    """By `cred_...`. Raises Problem not_found, also for what the principal may not see."""
    record = await parts.credentials.find(principal, CredentialId(read_id("cred", text)))
    if record is None:
        raise Problem("not_found")
    return record


@router.post("", status_code=201)
async def create_credential(body: CredentialInput, parts: PartsOf, principal: Writer) -> MintedCredential:
    """Makes a credential for a customer. The answer has its secret, this once."""
    customer = await get_customer(parts, principal, body.customer_id)
    certificates = (body.certificate, body.certificate_request)
    if any(certificates) and body.mechanisms is not None:
        raise Problem("invalid_value", "a certificate is for EXTERNAL alone; leave mechanisms out")
    if all(certificates):
        raise Problem("invalid_value", "send a certificate or a request for one, not both")
    request = payloads.MintRequest(
        secrets.token_hex(16),
        str(customer.id),
        body.authcid or "",
        tuple(body.mechanisms or ()),
        _certificate(body.certificate) if body.certificate is not None else b"",
        _certificate_request(body.certificate_request) if body.certificate_request is not None else b"",
        body.when_empty,
        tuple(body.aliases),
        tuple(read_domain_name(name) for name in body.allowed_domains),
    )
    return await _minted(parts, principal, request)


@router.get("")
async def list_credentials(
    parts: PartsOf, principal: Reader, customer_id: str | None = None, limit: Limit = 20, cursor: Cursor = None
) -> Page[CredentialOutput]:
    """Credentials, newest first."""
    after = read_cursor("cred", cursor)
    owner = await find_customer_id(parts, principal, customer_id)
    rows = await parts.credentials.page(principal, owner, CredentialId(after) if after else None, limit + 1)
    return page(rows, limit, CredentialOutput.of)


@router.get("/{credential_id}")
async def read_credential(credential_id: str, parts: PartsOf, principal: Reader) -> CredentialOutput:
    """One credential."""
    return CredentialOutput.of(await get_credential(parts, principal, credential_id))


@router.patch("/{credential_id}")
async def change_credential(
    credential_id: str, body: CredentialChange, parts: PartsOf, principal: Writer
) -> CredentialOutput:
    """Changes policies; they hold from the next login on."""
    record = await get_credential(parts, principal, credential_id)
    changes = body.model_dump(exclude_none=True)
    if body.allowed_domains is not None:
        changes["allowed_domains"] = [read_domain_name(name) for name in body.allowed_domains]
    await parts.credentials.change(record.id, changes)
    return CredentialOutput.of(await get_credential(parts, principal, credential_id))


@router.post("/{credential_id}/rotate")
async def rotate_credential(
    credential_id: str, parts: PartsOf, principal: Writer, body: CredentialRotation | None = None
) -> MintedCredential:
    """A new secret, told this once; the old one proves nothing from now on, or after the overlap."""
    record = await get_credential(parts, principal, credential_id)
    if record.certificate_sha256 is not None:
        raise Problem("conflict", "a credential with a certificate has no secret; make one with the new certificate")
    overlap = body.overlap_seconds if body is not None else 0
    request = payloads.MintRequest(
        secrets.token_hex(16), str(record.customer_id), credential_id=str(record.id), overlap_seconds=overlap
    )
    return await _minted(parts, principal, request)


@router.delete("/{credential_id}", status_code=204)
async def revoke_credential(credential_id: str, parts: PartsOf, principal: Writer) -> None:
    """Ends it: it proves nothing more, and its sessions end within a third of a lease."""
    await parts.credentials.revoke((await get_credential(parts, principal, credential_id)).id)


async def mint_credential(parts: Parts, principal: Principal, customer_id: CustomerId) -> MintedCredential:
    """One with a name and a secret of auth's. Raises Problem unavailable."""
    return await _minted(parts, principal, payloads.MintRequest(secrets.token_hex(16), str(customer_id)))


async def _minted(parts: Parts, principal: Principal, request: payloads.MintRequest) -> MintedCredential:
    try:
        data = await parts.bus.request(subjects.AUTH_MINT, payloads.encode(request), MINT_TIME)
        answer = payloads.decode(payloads.MintAnswer, data)
    except (NoAnswer, payloads.BadPayload):
        raise Problem("unavailable", "The service that makes credentials does not answer; try again") from None
    if answer.error == "conflict":
        raise Problem("conflict", "a credential by that name, or with that certificate, is there already")
    if answer.error == "bad_request":
        raise Problem(
            "invalid_value",
            "certificate_request is not signed by its own key, or the key is not RSA (2048 bits), ECDSA or Ed25519",
        )
    if answer.error == "not_found":
        raise Problem("not_found")
    if answer.error or answer.request_id != request.request_id:
        raise Problem("unavailable")
    record = await parts.credentials.find(principal, CredentialId(UUID(answer.credential_id)))
    if record is None:
        raise Problem("not_found")
    certificate = ssl.DER_cert_to_PEM_cert(answer.certificate) if answer.certificate else None
    return MintedCredential(secret=answer.secret, certificate=certificate, **CredentialOutput.of(record).model_dump())


def _certificate_request(pem: str) -> bytes:
    """The request in DER; auth looks into it. Raises Problem when it is no PEM."""
    found = _REQUEST.search(pem)
    try:
        return base64.b64decode("".join(found[2].split()), validate=True) if found else _no_request()
    except ValueError:
        return _no_request()


def _no_request() -> bytes:
    raise Problem("invalid_value", "certificate_request is not one PKCS #10 request in PEM")


def _certificate(pem: str) -> bytes:
    """The certificate in DER. Raises Problem when it is none that TLS could load."""
    try:
        der = ssl.PEM_cert_to_DER_cert(pem.strip() + "\n")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=der)
    except (ValueError, ssl.SSLError):
        raise Problem("invalid_value", "certificate is not one certificate in PEM") from None
    return der
