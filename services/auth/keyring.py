"""What a credential's owner must know, opened from its seal; for a name that is not there, a decoy of the same make."""

import base64
import hmac
import json

from services.auth.seal import Seal
from shared.domain.names import CredentialId
from shared.protocol.sasl import scram
from shared.storage.credentials import Credential


class Keyring:
    """Opens and makes. Raises BrokenSeal when what lies in the database was not sealed by us."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def secret_of(self, credential: Credential | None, authcid: str) -> bytes:
        """The secret in clear, for CRAM-MD5 alone."""
        if credential is None or credential.sealed_secret is None:
            return self._seal.open(self._seal.seal(self._seal.decoy(authcid), b"decoy"), b"decoy")
        return self._seal.open(credential.sealed_secret, credential.id.bytes)

    def scram_keys_of(self, credential: Credential | None, authcid: str) -> scram.Keys:
        """The SCRAM keys. The salt of a name that is not there is the same each time (RFC 5802 has no word for it)."""
        if credential is None or credential.sealed_scram is None:
            decoy = self._seal.decoy(authcid)
            sealed = self._seal.seal(_to_json(scram.Keys(decoy[:16], scram.ITERATIONS, decoy, decoy)), b"decoy")
            return _from_json(self._seal.open(sealed, b"decoy"))
        return _from_json(self._seal.open(credential.sealed_scram, credential.id.bytes))

    def seal_secret(self, secret: str, owner: CredentialId) -> bytes:
        """For the database."""
        return self._seal.seal(secret.encode(), owner.bytes)

    def seal_scram_keys(self, keys: scram.Keys, owner: CredentialId) -> bytes:
        """For the database."""
        return self._seal.seal(_to_json(keys), owner.bytes)

    @staticmethod
    def are_same(one: scram.Keys, other: scram.Keys) -> bool:
        """Whether both come from one secret, in constant time."""
        return hmac.compare_digest(one.stored_key, other.stored_key)


def _to_json(keys: scram.Keys) -> bytes:
    octets = (keys.salt, keys.stored_key, keys.server_key)
    return json.dumps([keys.iterations, *(base64.b64encode(one).decode("ascii") for one in octets)]).encode()


def _from_json(data: bytes) -> scram.Keys:
    iterations, *encoded = json.loads(data)
    salt, stored_key, server_key = (base64.b64decode(one) for one in encoded)
    return scram.Keys(salt, iterations, stored_key, server_key)
