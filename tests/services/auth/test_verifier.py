"""Auth's decisions: a function of the transcript, the credentials and the time."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from services.auth.nonces import CHALLENGE_TIME
from services.auth.seal import Seal
from services.auth.verifier import Channel, Proven, Verdict
from shared.at_rest import BrokenSeal
from shared.protocol.events import Continue, Denied, Unavailable
from shared.protocol.sasl import cram_md5, plain, scram
from shared.protocol.sasl.transcript import Transcript
from tests.services.auth.world import CHANNEL, ID, SEAL, World, credential

CRAM, SCRAM, PLAIN, EXTERNAL = "CRAM-MD5", "SCRAM-SHA-256", "PLAIN", "EXTERNAL"


async def challenge(world: World, channel: Channel = CHANNEL) -> bytes:
    """A fresh one for CRAM-MD5."""
    answer = await world.verifier.verify(Transcript(CRAM), channel)
    assert isinstance(answer, Continue)
    return answer.challenge


async def cram(world: World, said: bytes, user: str = "tim", secret: bytes = b"secret") -> Verdict:
    """What a response to a challenge gets."""
    response = cram_md5.respond(user, secret, said)
    return await world.verifier.verify(Transcript(CRAM).followed_by(said, response), CHANNEL)


async def by_scram(world: World, user: str = "tim", secret: bytes = b"secret", *, first: bool = True) -> Verdict:
    """A whole exchange, with an initial response or without; gives the last verdict."""
    client = scram.Client(user, secret, "nonce")
    transcript = Transcript(SCRAM, client.first()) if first else Transcript(SCRAM)
    if not first:
        assert await world.verifier.verify(transcript, CHANNEL) == Continue(b"")
        transcript = transcript.followed_by(b"", client.first())
    server_first = await world.verifier.verify(transcript, CHANNEL)
    assert isinstance(server_first, Continue)
    transcript = transcript.followed_by(server_first.challenge, client.final(server_first.challenge))
    server_final = await world.verifier.verify(transcript, CHANNEL)
    if not isinstance(server_final, Continue):
        return server_final
    client.verify(server_final.challenge)
    return await world.verifier.verify(transcript.followed_by(server_final.challenge, b""), CHANNEL)


async def by_plain(world: World, user: str = "tim", secret: bytes = b"secret") -> Verdict:
    """With an initial response."""
    return await world.verifier.verify(Transcript(PLAIN, plain.respond(user, secret)), CHANNEL)


async def by_cram(world: World, user: str = "tim", secret: bytes = b"secret") -> Verdict:
    """With a fresh challenge."""
    return await cram(world, await challenge(world), user, secret)


Way = Callable[..., Awaitable[Verdict]]
ALL_WAYS: list[Way] = [by_cram, by_scram, by_plain]
ways = pytest.mark.parametrize("way", ALL_WAYS, ids=lambda way: way.__name__)


@ways
async def test_the_right_secret_is_granted(way: Way) -> None:
    """R3, R11, R15: each mechanism by its own proof."""
    world = World()
    granted = await way(world)
    assert isinstance(granted, Proven) and granted.credential.id == ID and granted.domains == ("demo.example",)
    assert "tim" in world.store.granted and not world.throttle.failures


@ways
@pytest.mark.parametrize(("user", "secret"), [("tim", b"wrong"), ("nobody", b"secret"), ("TIM", b"secret")])
async def test_everything_else_is_denied_the_same(way: Way, user: str, secret: bytes) -> None:
    """R5: an unknown name and a wrong secret are one answer, and are counted as one."""
    world = World()
    assert await way(world, user, secret) == Denied()
    assert world.store.granted == [] and world.throttle.failures == {user: 1}


@ways
async def test_r13_too_many_failures_are_unavailable_for_who_is_right_and_who_is_wrong(way: Way) -> None:
    world = World()
    world.throttle.closed |= {"tim", "nobody"}
    for user, secret in (("tim", b"secret"), ("tim", b"wrong"), ("nobody", b"secret")):
        assert await way(world, user, secret) == Unavailable()
    assert world.store.granted == []


@ways
async def test_a_credential_without_the_mechanism_is_denied(way: Way) -> None:
    """R16: what a credential may be used for is said by its mechanisms."""
    world = World()
    world.store.credentials["tim"] = credential("SOMETHING-ELSE")
    assert await way(world) == Denied()


async def test_a_secret_that_is_not_kept_for_cram_md5_proves_nothing_there() -> None:
    world = World()
    world.store.credentials["tim"] = replace(credential(CRAM, SCRAM), sealed_secret=None)
    assert await by_cram(world) == Denied()
    assert isinstance(await by_scram(world), Proven)


async def test_a_challenge_is_for_its_session_and_its_time() -> None:
    world = World()
    said = await challenge(world, replace(CHANNEL, session_id="s2"))
    assert await cram(world, said) == Denied()
    said = await challenge(world)
    world.now.time += CHALLENGE_TIME + 2
    assert await cram(world, said) == Denied()
    world.now.time -= 2 * CHALLENGE_TIME
    assert await cram(world, said) == Denied()


@pytest.mark.parametrize(
    "said",
    [b"", b"<>", b"<1.2.3@mx.example>", b"<a.1000000." + b"0" * 32 + b"@mx.example>", b"\xff", "<a.²².b@c>".encode()],
)
async def test_a_challenge_that_we_did_not_make_proves_nothing(said: bytes) -> None:
    assert await cram(World(), said) == Denied()


async def test_r04_no_challenge_comes_twice() -> None:
    world = World()
    challenges = {await challenge(world) for _ in range(10_000)}
    assert len(challenges) == 10_000
    assert all(c.startswith(b"<") and c.endswith(b"@mx.example>") for c in challenges)


async def test_r15_scram_without_an_initial_response() -> None:
    assert isinstance(await by_scram(World(), first=False), Proven)


async def test_r15_scram_binds_its_nonce_to_what_the_client_said_first() -> None:
    """A challenge made for one name is none for another, and one of a replica that is long gone is none either."""
    world = World()
    mine, hers = scram.Client("tim", b"secret", "nonce"), scram.Client("ann", b"secret", "nonce")
    answer = await world.verifier.verify(Transcript(SCRAM, hers.first()), CHANNEL)
    assert isinstance(answer, Continue)
    transcript = Transcript(SCRAM, mine.first()).followed_by(answer.challenge, mine.final(answer.challenge))
    assert await world.verifier.verify(transcript, CHANNEL) == Denied()
    answer = await world.verifier.verify(Transcript(SCRAM, mine.first()), CHANNEL)
    assert isinstance(answer, Continue)
    world.now.time += CHALLENGE_TIME + 2
    transcript = Transcript(SCRAM, mine.first()).followed_by(answer.challenge, mine.final(answer.challenge))
    assert await world.verifier.verify(transcript, CHANNEL) == Denied()


async def test_scram_shows_an_unknown_name_the_same_salt_each_time() -> None:
    world = World()
    salts = set()
    for _ in range(3):
        answer = await world.verifier.verify(Transcript(SCRAM, b"n,,n=nobody,r=x"), CHANNEL)
        assert isinstance(answer, Continue)
        salts.add(answer.challenge.split(b",")[1:][0])
        assert answer.challenge.endswith(b",i=4096")
    assert len(salts) == 1


async def test_scram_ends_with_an_empty_answer_to_the_proof_alone() -> None:
    world = World()
    client = scram.Client("tim", b"secret", "nonce")
    first = Transcript(SCRAM, client.first())
    answer = await world.verifier.verify(first, CHANNEL)
    assert isinstance(answer, Continue)
    second = first.followed_by(answer.challenge, client.final(answer.challenge))
    proof = await world.verifier.verify(second, CHANNEL)
    assert isinstance(proof, Continue)
    for said, response in ((proof.challenge, b"x"), (b"v=other", b"")):
        assert await world.verifier.verify(second.followed_by(said, response), CHANNEL) == Denied()
    longer = second.followed_by(proof.challenge, b"").followed_by(b"", b"")
    assert await world.verifier.verify(longer, CHANNEL) == Denied()


async def test_r11_plain_without_an_initial_response_and_never_without_tls() -> None:
    world = World()
    assert await world.verifier.verify(Transcript(PLAIN), CHANNEL) == Continue(b"")
    late = Transcript(PLAIN).followed_by(b"", plain.respond("tim", b"secret"))
    assert isinstance(await world.verifier.verify(late, CHANNEL), Proven)
    assert await world.verifier.verify(late, replace(CHANNEL, is_tls=False)) == Denied()


@pytest.mark.parametrize(
    ("certificate", "authzid", "is_granted"),
    [
        (b"fingerprint", b"", True),
        (b"fingerprint", b"tim", True),
        (b"fingerprint", b"ann", False),
        (b"fingerprint", b"ti\0m", False),
        (b"another", b"", False),
        (b"", b"", False),
    ],
)
async def test_r14_external_by_the_certificate_of_the_line(
    certificate: bytes, authzid: bytes, is_granted: bool
) -> None:
    """Empty and equal authzid succeed, a foreign one fails, and so does a line without a certificate."""
    channel = replace(CHANNEL, certificate=certificate)
    verdict = await World().verifier.verify(Transcript(EXTERNAL, authzid), channel)
    assert isinstance(verdict, Proven) is is_granted
    assert is_granted or verdict == Denied()


async def test_r14_external_asks_where_nothing_was_said() -> None:
    assert await World().verifier.verify(Transcript(EXTERNAL), CHANNEL) == Continue(b"")


@pytest.mark.parametrize(("mechanism", "message"), [(PLAIN, b"ann\0tim\0secret"), (SCRAM, b"n,a=ann,n=tim,r=x")])
async def test_nobody_acts_for_another(mechanism: str, message: bytes) -> None:
    assert await World().verifier.verify(Transcript(mechanism, message), CHANNEL) == Denied()


async def test_what_is_not_offered_is_denied() -> None:
    world = World()
    assert await world.verifier.verify(Transcript("LOGIN"), CHANNEL) == Denied()
    assert await world.verifier.verify(Transcript(CRAM, b"x"), CHANNEL) == Denied()
    for mechanism in (CRAM, PLAIN, EXTERNAL):
        twice = Transcript(mechanism).followed_by(b"a", b"b").followed_by(b"c", b"d")
        assert await world.verifier.verify(twice, CHANNEL) == Denied()


async def test_a_broken_seal_is_our_fault_and_no_denial() -> None:
    world = World()
    broken = secrets.token_bytes(40)
    world.store.credentials["tim"] = replace(credential(CRAM, SCRAM), sealed_secret=broken, sealed_scram=broken)
    for way in (by_cram, by_scram):
        with pytest.raises(BrokenSeal):
            await way(world)


def test_a_seal_opens_for_its_owner_and_key_only() -> None:
    sealed = SEAL.seal(b"secret", b"me")
    assert SEAL.open(sealed, b"me") == b"secret" and b"secret" not in sealed
    for seal, owner in ((SEAL, b"you"), (Seal(b"x" * 32), b"me")):
        with pytest.raises(BrokenSeal):
            seal.open(sealed, owner)
    assert SEAL.seal(b"secret", b"me") != sealed


def test_secrets_do_not_print() -> None:
    shown = repr(credential(CRAM))
    assert "sealed" not in shown and "b'der'" not in shown
    assert "hunter2" not in repr(Transcript("PLAIN", b"\0tim\0hunter2").followed_by(b"c", b"hunter2"))
