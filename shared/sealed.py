"""A secret on its way over the bus, so that only auth reads it.

X25519 (RFC 7748), HKDF (RFC 5869), AES-256-GCM (RFC 5116).
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY: Final = 32
#: Each key is used once, so that one nonce is as good as another.
_NONCE: Final = bytes(12)


class NotForUs(Exception):
    """It was not sealed to this key for this purpose, or was changed on its way."""


def seal_to(public_key: bytes, data: bytes, purpose: bytes) -> bytes:
    """The data, to be opened by the holder of the key for the same purpose. Raises ValueError on what is no key."""
    ephemeral = X25519PrivateKey.generate()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public_key))
    mine = ephemeral.public_key().public_bytes_raw()
    return mine + _cipher(shared, mine, public_key).encrypt(_NONCE, data, purpose)


def open_sealed(private_key: bytes, sealed: bytes, purpose: bytes) -> bytes:
    """The data. Raises NotForUs."""
    key = X25519PrivateKey.from_private_bytes(private_key)
    try:
        theirs = X25519PublicKey.from_public_bytes(sealed[:_KEY])
        cipher = _cipher(key.exchange(theirs), sealed[:_KEY], key.public_key().public_bytes_raw())
        return cipher.decrypt(_NONCE, sealed[_KEY:], purpose)
    except (InvalidTag, ValueError):
        raise NotForUs from None


def public_key_of(private_key: bytes) -> bytes:
    """The key that others seal to."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def _cipher(shared: bytes, ephemeral: bytes, recipient: bytes) -> AESGCM:
    info = b"odmr sealed on the bus" + ephemeral + recipient
    return AESGCM(HKDF(algorithm=SHA256(), length=_KEY, salt=None, info=info).derive(shared))
