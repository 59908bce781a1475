"""Auth's decisions: a function of the transcript, the credentials and the time."""

import secrets
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from services.auth.seal import BrokenSeal, Seal
from services.auth.verifier import CHALLENGE_TIME, Proven, Verifier
from shared.domain.names import CredentialId, CustomerId
from shared.protocol.events import Continue, Denied
from shared.protocol.sasl import cram_md5
from shared.protocol.sasl.transcript import Transcript
from shared.storage.credentials import Credential

SEAL = Seal(b"k" * 32)
ID = CredentialId(UUID(int=1))


@dataclass
class MemoryStore:
    """Never fails, and always remembers everything."""

    credentials: dict[str, Credential] = field(default_factory=dict)
    granted: list[str] = field(default_factory=list)

    async def find(self, authcid: str) -> Credential | None:
        """By name."""
        return self.credentials.get(authcid)

    async def grant(self, credential: Credential) -> tuple[str, ...]:
        """Always one domain."""
        self.granted.append(credential.authcid)
        return ("demo.example",)


@dataclass
class Now:
    """A clock that stands until it is moved."""

    time: float = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@dataclass
class World:
    """A verifier and what it stands on."""

    store: MemoryStore = field(default_factory=MemoryStore)
    now: Now = field(default_factory=Now)

    def __post_init__(self) -> None:
        self.store.credentials["tim"] = Credential(
            ID, CustomerId(UUID(int=2)), "tim", SEAL.seal(b"secret", ID.bytes), ("CRAM-MD5",)
        )
        self.verifier = Verifier(self.store, SEAL, "mx.example", self.now)

    async def challenge(self, session: str = "s1") -> bytes:
        """A fresh one."""
        answer = await self.verifier.verify(Transcript("CRAM-MD5"), session)
        assert isinstance(answer, Continue)
        return answer.challenge

    async def answer(
        self, challenge: bytes, user: str = "tim", secret: bytes = b"secret", session: str = "s1"
    ) -> object:
        """What a response to it gets."""
        response = cram_md5.respond(user, secret, challenge)
        return await self.verifier.verify(Transcript("CRAM-MD5").followed_by(challenge, response), session)


async def test_the_right_secret_is_granted() -> None:
    world = World()
    granted = await world.answer(await world.challenge())
    assert isinstance(granted, Proven) and granted.credential.id == ID and granted.domains == ("demo.example",)
    assert world.store.granted == ["tim"]


@pytest.mark.parametrize(
    ("user", "secret"),
    [("tim", b"wrong"), ("tim", b""), ("nobody", b"secret"), ("TIM", b"secret"), ("tim ", b"secret")],
)
async def test_everything_else_is_denied_the_same(user: str, secret: bytes) -> None:
    world = World()
    assert await world.answer(await world.challenge(), user, secret) == Denied()
    assert world.store.granted == []


async def test_a_challenge_is_for_its_session_and_its_time() -> None:
    world = World()
    challenge = await world.challenge()
    assert await world.answer(challenge, session="s2") == Denied()
    world.now.time += CHALLENGE_TIME + 2
    assert await world.answer(challenge) == Denied()
    world.now.time -= 2 * CHALLENGE_TIME
    assert await world.answer(challenge) == Denied()


@pytest.mark.parametrize(
    "challenge", [b"", b"<>", b"<1.2.3@mx.example>", b"<a.1000000." + b"0" * 32 + b"@mx.example>", b"\xff"]
)
async def test_a_challenge_that_we_did_not_make_proves_nothing(challenge: bytes) -> None:
    assert await World().answer(challenge) == Denied()


async def test_r04_no_challenge_comes_twice() -> None:
    world = World()
    challenges = {await world.challenge() for _ in range(10_000)}
    assert len(challenges) == 10_000
    assert all(c.startswith(b"<") and c.endswith(b"@mx.example>") for c in challenges)


async def test_what_is_not_offered_is_denied() -> None:
    world = World()
    assert await world.verifier.verify(Transcript("PLAIN", b"\0tim\0secret"), "s1") == Denied()
    assert await world.verifier.verify(Transcript("CRAM-MD5", b"x"), "s1") == Denied()
    twice = Transcript("CRAM-MD5").followed_by(b"a", b"b").followed_by(b"c", b"d")
    assert await world.verifier.verify(twice, "s1") == Denied()


async def test_a_credential_without_the_mechanism_is_denied() -> None:
    world = World()
    old = world.store.credentials["tim"]
    world.store.credentials["tim"] = Credential(old.id, old.customer_id, "tim", old.sealed_secret, ())
    assert await world.answer(await world.challenge()) == Denied()


async def test_a_broken_seal_is_our_fault_and_no_denial() -> None:
    world = World()
    old = world.store.credentials["tim"]
    world.store.credentials["tim"] = Credential(old.id, old.customer_id, "tim", secrets.token_bytes(40), ("CRAM-MD5",))
    with pytest.raises(BrokenSeal):
        await world.answer(await world.challenge())


def test_a_seal_opens_for_its_owner_and_key_only() -> None:
    sealed = SEAL.seal(b"secret", b"me")
    assert SEAL.open(sealed, b"me") == b"secret" and b"secret" not in sealed
    for seal, owner in ((SEAL, b"you"), (Seal(b"x" * 32), b"me")):
        with pytest.raises(BrokenSeal):
            seal.open(sealed, owner)
    assert SEAL.seal(b"secret", b"me") != sealed


def test_secrets_do_not_print() -> None:
    world = World()
    assert "sealed" not in repr(world.store.credentials["tim"]).replace("sealed_secret=", "")
    assert "hunter2" not in repr(Transcript("PLAIN", b"\0tim\0hunter2").followed_by(b"c", b"hunter2"))
