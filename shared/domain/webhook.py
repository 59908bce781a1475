"""Webhooks as Standard Webhooks has them: signatures, when to try again, and which URLs may be called."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

PREFIX: Final = "whsec_"
#: Octets of a secret; Standard Webhooks has 24 to 64.
SECRET_OCTETS: Final = 32
#: How long the old secret signs, too, after a new one was made.
OVERLAP: Final = timedelta(hours=24)
#: Between attempts: 75 h 35 min in all.
RETRIES: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
_MAX_URL: Final = 2_000
#: A last label that is a number would be read as an IPv4 address, in decimal, octal or hexadecimal.
_NUMBER: Final = re.compile(r"^(0x[0-9a-f]*|[0-9]+)$", re.IGNORECASE)


class BadUrl(ValueError):
    """No URL that a webhook may have; the text says so in one sentence."""


def check_url(url: str, allowed: Sequence[str]) -> str:
    """The URL. `allowed` are host:port that are called whatever they are, over http, too. Raises BadUrl."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadUrl("url cannot be read") from None
    if len(url) > _MAX_URL or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise BadUrl("url is at most 2000 ASCII characters, without spaces")
    host = parts.hostname or ""
    if parts.scheme in ("http", "https") and f"{host}:{port or (443 if parts.scheme == 'https' else 80)}" in allowed:
        return url
    if parts.scheme != "https":
        raise BadUrl("url begins with https://")
    if parts.username is not None or parts.password is not None:
        raise BadUrl("url has no user and password; the signature says who calls")
    if "." not in host or _NUMBER.match(host.rstrip(".").rpartition(".")[2]) or ":" in host:
        raise BadUrl("url names a host by its domain name")
    return url


def sign(secrets: Sequence[str], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The header webhook-signature: one signature a secret, with spaces between them."""
    content = f"{webhook_id}.{timestamp}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.new(_key(secret), content, hashlib.sha256).digest()).decode()
        for secret in secrets
    )


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a webhook's secret is whsec_ and base64") from None
