"""Decides SASL steps. A function of the transcript, the credentials and the time: any replica answers, none remembers.

RFC 2195, RFC 4422. Security: the only reader of secrets. Denied says nothing of why, and takes the same path for a name that
is not there.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from services.auth.seal import Seal
from shared.protocol.events import Continue, Denied
from shared.protocol.sasl import cram_md5
from shared.protocol.sasl.transcript import Exchange, Transcript
from shared.storage.credentials import Credential

#: Seconds for which a challenge may be answered. DESIGN, decided 15.
CHALLENGE_TIME: Final = 300


class CredentialStore(Protocol):
    """What the verifier asks of the database."""

    async def find(self, authcid: str) -> Credential | None:
        """The credential by its name."""
        ...

    async def grant(self, credential: Credential) -> tuple[str, ...]:
        """Notes its use, and gives the domains it may ask for."""
        ...


@dataclass(frozen=True, slots=True)
class Proven:
    """Who it is, and what it may ask for."""

    credential: Credential
    domains: tuple[str, ...]


class Verifier:
    """Answers one step. Errors of the database pass through: nobody can say now."""

    def __init__(self, store: CredentialStore, seal: Seal, hostname: str, now: Callable[[], float]) -> None:
        self._store = store
        self._seal = seal
        self._hostname = hostname
        self._now = now

    async def verify(self, transcript: Transcript, session_id: str) -> Continue | Proven | Denied:
        """What comes next: a challenge, a grant, or a denial."""
        if transcript.mechanism != cram_md5.NAME or transcript.initial is not None:
            return Denied()
        match transcript.exchanges:
            case ():
                return Continue(self._challenge(session_id))
            case (exchange,):
                return await self._cram_md5(exchange, session_id)
            case _:
                return Denied()

    def _challenge(self, session_id: str) -> bytes:
        """`<random.time.mac@host>`: a fresh msg-id (RFC 2195 2) that proves by itself when and for whom it was made."""
        lead = f"{secrets.token_hex(12)}.{int(self._now())}"
        return f"<{lead}.{self._mac(lead, session_id)}@{self._hostname}>".encode("ascii")

    def _mac(self, lead: str, session_id: str) -> str:
        return self._seal.mac(f"{cram_md5.NAME}\0{session_id}\0{lead}".encode())

    def _is_ours(self, challenge: bytes, session_id: str) -> bool:
        nonce, _, rest = challenge.decode("ascii", "replace").strip("<>").partition("@")[0].partition(".")
        when, _, mac = rest.partition(".")
        if not when.isdigit() or not secrets.compare_digest(mac, self._mac(f"{nonce}.{when}", session_id)):
            return False
        return 0 <= self._now() - int(when) + 1 <= CHALLENGE_TIME + 1

    async def _cram_md5(self, exchange: Exchange, session_id: str) -> Proven | Denied:
        response = cram_md5.parse_response(exchange.response)
        if response is None or not self._is_ours(exchange.challenge, session_id):
            return Denied()
        credential = await self._store.find(response.authcid)
        decoy = self._seal.seal(self._seal.decoy(response.authcid), b"decoy")
        sealed, owner = (credential.sealed_secret, credential.id.bytes) if credential else (decoy, b"decoy")
        is_proof = cram_md5.is_proof(response, self._seal.open(sealed, owner), exchange.challenge)
        if credential is None or not is_proof or cram_md5.NAME not in credential.mechanisms:
            return Denied()
        return Proven(credential, await self._store.grant(credential))
