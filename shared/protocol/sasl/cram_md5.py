"""CRAM-MD5. RFC 2195. No initial response, one challenge, one response. Dangers: the secret must be had in clear."""

import hashlib
import hmac
import re
from dataclasses import dataclass

NAME = "CRAM-MD5"
_RESPONSE = re.compile(rb"(?P<authcid>[^\x00-\x1f\x7f]{1,255}) (?P<digest>[0-9A-Fa-f]{32})\n?\Z")


@dataclass(frozen=True, slots=True)
class Response:
    """The client's answer, taken apart: who, and the digest in lower-case hex."""

    authcid: str
    digest: str


def digest(secret: bytes, challenge: bytes) -> str:
    """HMAC-MD5 of the challenge keyed by the secret, in lower-case hex. RFC 2195 2."""
    return hmac.new(secret, challenge, hashlib.md5).hexdigest()


def parse_response(response: bytes) -> Response | None:
    """`authcid SP digest`. Upper-case hex and a trailing LF are tolerated: RFC 2645's own example has the latter."""
    found = _RESPONSE.match(response)
    if not found:
        return None
    try:
        return Response(found["authcid"].decode("utf-8"), found["digest"].decode("ascii").lower())
    except UnicodeDecodeError:
        return None


def is_proof(response: Response, secret: bytes, challenge: bytes) -> bool:
    """Whether the digest proves the secret, in constant time."""
    return hmac.compare_digest(response.digest, digest(secret, challenge))


def respond(authcid: str, secret: bytes, challenge: bytes) -> bytes:
    """The client's response to a challenge."""
    return f"{authcid} {digest(secret, challenge)}".encode()
