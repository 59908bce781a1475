"""A verifier on a store in memory, and one credential that has everything. The doubles never fail, and remember everything."""

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from services.auth.keyring import Keyring
from services.auth.seal import Seal
from services.auth.verifier import Channel, Verifier
from shared.domain.names import CredentialId, CustomerId, SessionId
from shared.protocol.sasl import scram
from shared.storage.credentials import Credential

SEAL = Seal(b"k" * 32)
ID = CredentialId(UUID(int=1))
SESSION = SessionId(UUID(int=7))
ALL = ("CRAM-MD5", "SCRAM-SHA-256", "PLAIN", "EXTERNAL")
CHANNEL = Channel("s1", "192.0.2.1", True)


@dataclass
class MemoryStore:
    """Credentials in a dict."""

    credentials: dict[str, Credential] = field(default_factory=dict)
    granted: list[str] = field(default_factory=list)

    async def find(self, authcid: str) -> Credential | None:
        """By name."""
        return self.credentials.get(authcid)

    async def find_certificate(self, sha256: bytes) -> Credential | None:
        """By certificate."""
        return next((c for c in self.credentials.values() if c.certificate_sha256 == sha256), None)

    async def grant(self, credential: Credential) -> tuple[str, ...]:
        """Always one domain."""
        self.granted.append(credential.authcid)
        return ("demo.example",)


@dataclass
class MemoryThrottle:
    """Closed where a test says so."""

    failures: Counter[str] = field(default_factory=Counter)
    closed: set[str] = field(default_factory=set)

    async def is_closed(self, peer: str, authcid: str) -> bool:
        """As told."""
        return authcid in self.closed

    async def failed(self, peer: str, authcid: str) -> None:
        """Counts."""
        self.failures[authcid] += 1

    async def passed(self, peer: str, authcid: str) -> None:
        """Forgets."""
        del self.failures[authcid]


@dataclass
class Now:
    """A clock that stands until it is moved."""

    time: float = 1_000_000.0

    def __call__(self) -> float:
        return self.time


def credential(*mechanisms: str, secret: bytes = b"secret", authcid: str = "tim") -> Credential:
    """One that may use these mechanisms."""
    keyring = Keyring(SEAL)
    return Credential(
        ID,
        CustomerId(UUID(int=2)),
        authcid,
        mechanisms,
        SEAL.seal(secret, ID.bytes),
        keyring.seal_scram_keys(scram.derive(secret, b"salt" * 4), ID),
        b"der",
        b"fingerprint",
    )


@dataclass
class World:
    """A verifier and what it stands on."""

    store: MemoryStore = field(default_factory=MemoryStore)
    throttle: MemoryThrottle = field(default_factory=MemoryThrottle)
    now: Now = field(default_factory=Now)

    def __post_init__(self) -> None:
        self.store.credentials["tim"] = credential(*ALL)
        self.verifier = Verifier(self.store, self.throttle, SEAL, "mx.example", self.now)
