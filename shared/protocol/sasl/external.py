"""EXTERNAL. RFC 4422 appendix A. One response: who to act as, empty for the identity that the channel has proved."""

from shared.protocol.sasl.prep import BadString, saslprep

NAME = "EXTERNAL"
MAX_AUTHZID = 255


def parse_response(response: bytes) -> str | None:
    """The authzid, "" where none is asked for, or None when it is no such response (RFC 4422 A.1: UTF-8, no NUL)."""
    if b"\0" in response or len(response) > MAX_AUTHZID:
        return None
    try:
        return saslprep(response.decode("utf-8"))
    except (UnicodeDecodeError, BadString):
        return None
