"""Decides SASL steps. A function of the transcript, the credentials and the time: any replica answers, none remembers.

RFC 2195, 4422, 4616, 5802. Security: the only reader of secrets. Denied says nothing of why, and a name that is not there
takes the same path with a decoy. While a rotation overlaps the
former secret proves it, too. Failures are counted by source and name; too many are Unavailable for a while.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from services.auth.keyring import Keyring
from services.auth.nonces import Nonces, Purpose
from services.auth.seal import Seal
from shared.protocol.events import Continue, Denied, Unavailable
from shared.protocol.sasl import cram_md5, external, plain, scram
from shared.protocol.sasl.transcript import Transcript
from shared.storage.credentials import Credential


class CredentialStore(Protocol):
    """What the verifier asks of the database."""

    async def find(self, authcid: str) -> Credential | None:
        """The credential by its name."""
        ...

    async def find_certificate(self, sha256: bytes) -> Credential | None:
        """The credential by its certificate."""
        ...

    async def grant(self, credential: Credential) -> tuple[str, ...]:
        """Notes its use, and gives the domains it may ask for."""
        ...


class Throttle(Protocol):
    """Counts failures. shared.domain.throttle says what they cost."""

    async def is_closed(self, peer: str, authcid: str) -> bool:
        """Whether this attempt comes too soon after too many failures."""
        ...

    async def failed(self, peer: str, authcid: str) -> None:
        """One more failure."""
        ...

    async def passed(self, peer: str, authcid: str) -> None:
        """The name was proved: its failures from there are forgotten."""
        ...


@dataclass(frozen=True, slots=True)
class Channel:
    """What odmr knows of the line: `certificate` is the SHA-256 of the client's, where TLS has verified one."""

    session_id: str
    peer: str
    is_tls: bool
    certificate: bytes = b""


@dataclass(frozen=True, slots=True)
class Proven:
    """Who it is, and what it may ask for."""

    credential: Credential
    domains: tuple[str, ...]


Verdict = Continue | Proven | Denied | Unavailable


class Verifier:
    """Answers one step. Errors of the database pass through: nobody can say now."""

    def __init__(
        self, store: CredentialStore, throttle: Throttle, seal: Seal, hostname: str, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._throttle = throttle
        self._keyring = Keyring(seal)
        self._nonces = Nonces(seal, now)
        self._hostname = hostname

    async def verify(self, transcript: Transcript, channel: Channel) -> Verdict:
        """What comes next: a challenge, a grant, or a denial."""
        match transcript.mechanism:
            case cram_md5.NAME:
                return await self._cram_md5(transcript, channel)
            case scram.NAME:
                return await self._scram(transcript, channel)
            case plain.NAME:
                return await self._one_response(transcript, channel, self._plain)
            case external.NAME:
                return await self._one_response(transcript, channel, self._external)
            case _:
                return Denied()

    # --- CRAM-MD5 -----------------------------------------------------------------------------------------------------

    async def _cram_md5(self, transcript: Transcript, channel: Channel) -> Verdict:
        purpose = Purpose(cram_md5.NAME, channel.session_id)
        if transcript.initial is not None:
            return Denied()
        match transcript.exchanges:
            case ():  # a fresh msg-id (RFC 2195 2)
                return Continue(f"<{self._nonces.new(purpose)}@{self._hostname}>".encode("ascii"))
            case (exchange,):
                nonce = exchange.challenge.decode("ascii", "replace").strip("<>").rpartition("@")[0]
                response = cram_md5.parse_response(exchange.response)
                if response is None or not self._nonces.is_ours(nonce, purpose):
                    return Denied()

                async def proves(credential: Credential | None) -> bool:
                    secret = self._keyring.secret_of(credential, response.authcid)
                    return cram_md5.is_proof(response, secret, exchange.challenge)

                return await self._decide(response.authcid, cram_md5.NAME, channel, proves)
            case _:
                return Denied()

    # --- SCRAM-SHA-256 ------------------------------------------------------------------------------------------------

    async def _scram(self, transcript: Transcript, channel: Channel) -> Verdict:
        responses = transcript.responses
        if not responses:
            return Continue(b"")  # RFC 4422 3: the client speaks first
        first = scram.parse_client_first(responses[0])
        if first is None or first.authzid not in ("", first.authcid):
            return Denied()
        purpose = Purpose(scram.NAME, channel.session_id, first.bare.encode())
        if len(responses) == 1:
            keys = self._keyring.scram_keys_of(await self._store.find(first.authcid), first.authcid)
            return Continue(scram.server_first(first, self._nonces.new(purpose), keys.salt, keys.iterations))
        challenge = transcript.challenges[1]
        nonce = challenge.decode("ascii", "replace").partition(",")[0].removeprefix(f"r={first.nonce}")
        final = scram.parse_client_final(responses[1])
        if final is None or not self._nonces.is_ours(nonce, purpose):
            return Denied()
        keys = self._keyring.scram_keys_of(None, first.authcid)

        async def proves(credential: Credential | None) -> bool:
            nonlocal keys
            tried = self._keyring.scram_keys_of(credential, first.authcid)
            is_proof = scram.is_proof(first, challenge, final, tried)
            keys = tried if is_proof else keys
            return is_proof

        verdict = await self._decide(first.authcid, scram.NAME, channel, proves)
        if not isinstance(verdict, Proven):
            return verdict
        proof = scram.server_final(first, challenge, final, keys)
        if len(responses) == 2:  # RFC 4954 4 has no data with success: the proof is a challenge, its answer is empty
            return Continue(proof)
        is_over = len(responses) == 3 and responses[2] == b"" and transcript.challenges[2] == proof
        return verdict if is_over else Denied()

    # --- PLAIN and EXTERNAL -------------------------------------------------------------------------------------------

    async def _one_response(
        self, transcript: Transcript, channel: Channel, decide: Callable[[bytes, Channel], Awaitable[Verdict]]
    ) -> Verdict:
        match transcript.responses:
            case ():
                return Continue(b"")
            case (response,):
                return await decide(response, channel) if channel.is_tls else Denied()
            case _:
                return Denied()

    async def _plain(self, message: bytes, channel: Channel) -> Verdict:
        response = plain.parse_response(message)
        if response is None or response.authzid not in ("", response.authcid):
            return Denied()

        derived: scram.Keys | None = None

        async def proves(credential: Credential | None) -> bool:
            nonlocal derived
            keys = self._keyring.scram_keys_of(credential, response.authcid)
            if derived is None:  # once: a rotation keeps the salt
                derived = await asyncio.to_thread(scram.derive, response.secret, keys.salt, keys.iterations)
            return self._keyring.are_same(derived, keys)

        return await self._decide(response.authcid, plain.NAME, channel, proves)

    async def _external(self, message: bytes, channel: Channel) -> Verdict:
        authzid = external.parse_response(message)
        credential = await self._store.find_certificate(channel.certificate) if channel.certificate else None
        if credential is None or authzid not in ("", credential.authcid) or external.NAME not in credential.mechanisms:
            return Denied()
        return Proven(credential, await self._store.grant(credential))

    async def _decide(
        self,
        authcid: str,
        mechanism: str,
        channel: Channel,
        proves: Callable[[Credential | None], Awaitable[bool]],
    ) -> Proven | Denied | Unavailable:
        if await self._throttle.is_closed(channel.peer, authcid):
            return Unavailable()
        credential = await self._store.find(authcid)
        former = credential.former if credential else None
        is_proof, is_former = await proves(credential), await proves(former)  # both, so that it takes the same time
        if credential is None or not (is_proof or (former and is_former)) or mechanism not in credential.mechanisms:
            await self._throttle.failed(channel.peer, authcid)
            return Denied()
        await self._throttle.passed(channel.peer, authcid)
        return Proven(credential, await self._store.grant(credential))
