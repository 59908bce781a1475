"""What travels on the bus, as JSON of fixed shapes. A request has a version and an id; its answer repeats the id."""

from typing import Final, TypeVar

import msgspec

VERSION: Final = 1

P = TypeVar("P", bound=msgspec.Struct)


class BadPayload(Exception):
    """Not what this subject carries. It is dropped and logged; it never stops a service."""


class Step(msgspec.Struct, frozen=True):
    """One challenge and the response to it."""

    challenge: bytes
    response: bytes


class VerifyRequest(msgspec.Struct, frozen=True):
    """Is this transcript a proof? `initial` is None where there was no initial response.

    With `is_sealed` every response is sealed to auth's key (shared.sealed) for the request's id: PLAIN's is a secret.
    `certificate` is the SHA-256 of the client's, where TLS has verified one.
    """

    request_id: str
    session_id: str
    mechanism: str
    initial: bytes | None
    steps: tuple[Step, ...]
    peer: str
    is_tls: bool
    certificate: bytes = b""
    is_sealed: bool = False
    version: int = VERSION


class VerifyAnswer(msgspec.Struct, frozen=True):
    """`verdict` is continue, granted, denied or unavailable; the other fields are set as it needs them."""

    request_id: str
    verdict: str
    challenge: bytes = b""
    customer_id: str = ""
    credential_id: str = ""
    authcid: str = ""
    domains: tuple[str, ...] = ()
    when_empty: str = "refuse"
    aliases: tuple[str, ...] = ()


class KeyRequest(msgspec.Struct, frozen=True):
    """To which key are responses sealed?"""

    request_id: str
    version: int = VERSION


class KeyAnswer(msgspec.Struct, frozen=True):
    """Auth's X25519 key."""

    request_id: str
    public_key: bytes


class MintRequest(msgspec.Struct, frozen=True):
    """Make a credential, or with `credential_id` a new secret for that one. An empty authcid asks auth to choose one.

    `certificate` (DER) makes one for EXTERNAL, which has no secret; so does `certificate_request` (PKCS #10, DER), for
    which auth makes the certificate. Of a rotation the former secret is good for `overlap_seconds` more.
    """

    request_id: str
    customer_id: str
    authcid: str = ""
    mechanisms: tuple[str, ...] = ()
    certificate: bytes = b""
    certificate_request: bytes = b""
    when_empty: str = "refuse"
    aliases: tuple[str, ...] = ()
    allowed_domains: tuple[str, ...] = ()
    overlap_seconds: int = 0
    credential_id: str = ""
    version: int = VERSION


class MintAnswer(msgspec.Struct, frozen=True):
    """The credential with its secret, told once, or with its certificate (DER); or `error`: conflict, not_found,
    bad_request (the certificate request is none, or is not signed by its key) or unavailable."""

    request_id: str
    credential_id: str = ""
    authcid: str = ""
    secret: str = ""
    certificate: bytes = b""
    error: str = ""

    def __repr__(self) -> str:
        return f"MintAnswer({self.authcid}, {self.error})"


def encode(payload: msgspec.Struct) -> bytes:
    """As octets."""
    return msgspec.json.encode(payload)


def decode(kind: type[P], data: bytes) -> P:
    """From octets. Raises BadPayload."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadPayload(str(error)) from None
