"""Secrets at rest: AES-256-GCM (RFC 5116) under a key that HKDF (RFC 5869) makes of a setting, each use its own."""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE: Final = 12


class BrokenSeal(Exception):
    """It was not sealed under this key, or not for this use: a fault of ours, never a denial."""


def derive(key: bytes, use: bytes) -> bytes:
    """A key of 32 octets for one use."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=use).derive(key)


class AtRest:
    """Seals and opens what lies in the database."""

    def __init__(self, key: bytes, use: bytes) -> None:
        self._cipher = AESGCM(derive(key, use))

    def seal(self, secret: bytes, owner: bytes) -> bytes:
        """The secret, to be opened only for the same owner."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, secret, owner)

    def open(self, sealed: bytes, owner: bytes) -> bytes:
        """The secret. Raises BrokenSeal."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], owner)
        except InvalidTag:
            raise BrokenSeal from None
