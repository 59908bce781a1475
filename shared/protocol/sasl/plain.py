"""PLAIN. RFC 4616. One response: authzid NUL authcid NUL secret. Dangers: the secret travels; only under TLS."""

from dataclasses import dataclass, field

from shared.protocol.sasl.prep import BadString, saslprep

NAME = "PLAIN"
#: Octets of each part. RFC 4616 2 leaves the limit to us; names and secrets of ours are far shorter.
MAX_PART = 255


@dataclass(frozen=True, slots=True)
class Response:
    """The client's response, taken apart and prepared. An empty authzid stands for the authcid's own."""

    authzid: str
    authcid: str
    secret: bytes = field(repr=False)


def parse_response(response: bytes) -> Response | None:
    """The parts, or None when it is no PLAIN response."""
    parts = response.split(b"\0")
    if len(parts) != 3 or not parts[1] or not parts[2] or any(len(part) > MAX_PART for part in parts):
        return None
    try:
        authzid, authcid, secret = (saslprep(part.decode("utf-8")) for part in parts)
    except (UnicodeDecodeError, BadString):
        return None
    return Response(authzid, authcid, secret.encode())


def respond(authcid: str, secret: bytes) -> bytes:
    """The client's response."""
    return b"\0" + authcid.encode() + b"\0" + secret
