"""What auth derives from its one key: secrets at rest, what a challenge must not forget, and decoys. HMAC-SHA-256."""

import hashlib
import hmac

from shared.at_rest import AtRest, derive


class Seal(AtRest):
    """Seals and opens secrets, and makes MACs for challenges."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key, b"odmr secrets at rest")
        self._challenges = derive(key, b"odmr challenges")
        self._decoys = derive(key, b"odmr decoys")
        #: Opens what was sealed to us on the bus (shared.sealed); all replicas have the same.
        self.bus_key = derive(key, b"odmr on the bus")

    def mac(self, text: bytes) -> str:
        """What proves that we said this text."""
        return hmac.new(self._challenges, text, hashlib.sha256).hexdigest()[:32]

    def decoy(self, authcid: str) -> bytes:
        """The secret of a name that we do not know: the same each time, so that no reply tells them apart."""
        return hmac.new(self._decoys, authcid.encode(), hashlib.sha256).digest()
