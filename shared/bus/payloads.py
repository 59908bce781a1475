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
    """Is this transcript a proof? `initial` is None where there was no initial response."""

    request_id: str
    session_id: str
    mechanism: str
    initial: bytes | None
    steps: tuple[Step, ...]
    peer: str
    is_tls: bool
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


class MintRequest(msgspec.Struct, frozen=True):
    """Make a credential. An empty authcid asks auth to choose one."""

    request_id: str
    customer_id: str
    authcid: str = ""
    version: int = VERSION


class MintAnswer(msgspec.Struct, frozen=True):
    """The credential with its secret, told once; or `error`: conflict or unavailable."""

    request_id: str
    credential_id: str = ""
    authcid: str = ""
    secret: str = ""
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
