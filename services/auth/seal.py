"""Secrets at rest, and what a challenge must not forget. AES-256-GCM (RFC 5116), HMAC-SHA-256.

The keys come from one setting by HKDF, each for its own use.
"""

import hashlib
import hmac
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE: Final = 12


class BrokenSeal(Exception):
    """It was not sealed under this key, or not for this use: a fault of ours, never a denial."""


def _derive(key: bytes, use: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=use).derive(key)


class Seal:
    """Seals and opens secrets, and makes MACs for challenges."""

    def __init__(self, key: bytes) -> None:
        self._secrets = AESGCM(_derive(key, b"odmr secrets at rest"))
        self._challenges = _derive(key, b"odmr challenges")
        self._decoys = _derive(key, b"odmr decoys")
        #: Opens what was sealed to us on the bus (shared.sealed); all replicas have the same.
        self.bus_key = _derive(key, b"odmr on the bus")

    def seal(self, secret: bytes, owner: bytes) -> bytes:
        """The secret, to be opened only for the same owner."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._secrets.encrypt(nonce, secret, owner)

    def open(self, sealed: bytes, owner: bytes) -> bytes:
        """The secret. Raises BrokenSeal."""
        try:
            return self._secrets.decrypt(sealed[:_NONCE], sealed[_NONCE:], owner)
        except InvalidTag:
            raise BrokenSeal from None

    def mac(self, text: bytes) -> str:
        """What proves that we said this text."""
        return hmac.new(self._challenges, text, hashlib.sha256).hexdigest()[:32]

    def decoy(self, authcid: str) -> bytes:
        """The secret of a name that we do not know: the same each time, so that no reply tells them apart."""
        return hmac.new(self._decoys, authcid.encode(), hashlib.sha256).digest()
