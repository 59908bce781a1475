"""Nonces that prove by themselves when and for what they were made, so that any replica knows those of another.

`random.time.mac`: 96 random bits, Unix seconds, and a MAC over the mechanism, the session, what the client said before, and
both. DESIGN, decided 15.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.auth.seal import Seal

#: Seconds for which a challenge may be answered. DESIGN, decided 15.
CHALLENGE_TIME: Final = 300


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a nonce is for."""

    mechanism: str
    session_id: str
    said_before: bytes = b""


class Nonces:
    """Makes them, and knows its own."""

    def __init__(self, seal: Seal, now: Callable[[], float]) -> None:
        self._seal = seal
        self._now = now

    def new(self, purpose: Purpose) -> str:
        """A nonce that comes once."""
        lead = f"{secrets.token_hex(12)}.{int(self._now())}"
        return f"{lead}.{self._mac(lead, purpose)}"

    def is_ours(self, nonce: str, purpose: Purpose) -> bool:
        """Whether we made it, for this, and not too long ago."""
        lead, _, mac = nonce.rpartition(".")
        when = lead.rpartition(".")[2]
        if not (when.isascii() and when.isdigit() and mac.isascii()):
            return False
        if not secrets.compare_digest(mac, self._mac(lead, purpose)):
            return False
        return 0 <= self._now() - int(when) + 1 <= CHALLENGE_TIME + 1

    def _mac(self, lead: str, purpose: Purpose) -> str:
        parts = (purpose.mechanism.encode(), purpose.session_id.encode(), lead.encode("ascii", "replace"))
        return self._seal.mac(b"\0".join((*parts, purpose.said_before)))
