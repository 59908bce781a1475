"""Auth on a real database: minting, rotating, what lies at rest, and PLAIN's response that only auth can open."""

import asyncio
import hashlib
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from localserve import postgres
from localserve.layout import Layout
from services.auth.keyring import Keyring
from services.auth.minter import Minter
from services.auth.responder import Responder
from services.auth.verifier import Verifier
from services.odmr.authority import Authority, Channel, Identity
from shared.bus import payloads, subjects
from shared.bus.connection import NoAnswer
from shared.clock import Clock
from shared.domain.throttle import BY_NAME
from shared.protocol.events import Continue, Denied, Unavailable
from shared.protocol.sasl import cram_md5, plain
from shared.protocol.sasl.transcript import Transcript
from shared.storage.credentials import Credentials
from shared.storage.engine import Pool, create_engine
from shared.storage.throttle import AuthFailures
from tests.services.auth.test_issuer import request
from tests.services.auth.world import SEAL, SESSION
from tests.storage.seeding import Seed, seed


@dataclass
class DirectBus:
    """Asks the responder without a bus between, and remembers what went over."""

    responder: Responder
    seen: list[bytes]

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        """As NATS would."""
        self.seen.append(data)
        handlers = {subjects.AUTH_VERIFY: self.responder.verify, subjects.AUTH_KEY: self.responder.key}
        answer = await handlers[subject](subject, data)
        if answer is None:
            raise NoAnswer
        return answer


@dataclass
class Auth:
    """Auth, odmr's view of it, and a customer."""

    responder: Responder
    bus: DirectBus
    authority: Authority
    customer: Seed

    async def mint(self, **options: object) -> payloads.MintAnswer:
        """A credential for the customer."""
        request = payloads.MintRequest("r1", str(self.customer.customer_id), **options)  # type: ignore[arg-type]
        answer = await self.responder.mint("", payloads.encode(request))
        assert answer is not None
        return payloads.decode(payloads.MintAnswer, answer)

    async def plain(self, user: str, secret: str, peer: str = "192.0.2.1") -> object:
        """What PLAIN gets."""
        transcript = Transcript("PLAIN", plain.respond(user, secret.encode()))
        return await self.authority.verify(transcript, Channel(SESSION, peer, True))


@pytest.fixture
async def auth(database_url: str) -> AsyncIterator[Auth]:
    customer = await seed(database_url)
    engine = create_engine(database_url, size=2)
    credentials = Credentials(engine)
    verifier = Verifier(credentials, AuthFailures(engine), SEAL, "mx.example", lambda: Clock().now().timestamp())
    responder = Responder(verifier, Minter(credentials, Keyring(SEAL), Clock()), SEAL.bus_key)
    bus = DirectBus(responder, [])
    yield Auth(responder, bus, Authority(bus), customer)
    await engine.dispose()


async def test_a_minted_secret_logs_in_with_each_of_its_mechanisms(auth: Auth) -> None:
    made = await auth.mint(authcid="farm", when_empty="live", aliases=("vm",))
    assert made.authcid == "farm" and len(made.secret) >= 43
    granted = await auth.plain("farm", made.secret)
    assert isinstance(granted, Identity)
    assert (granted.domains, granted.when_empty, granted.aliases) == (("demo.example",), "live", ("vm",))
    first = await auth.authority.verify(Transcript("CRAM-MD5"), Channel(SESSION, "192.0.2.1", True))
    assert isinstance(first, Continue)
    response = cram_md5.respond("farm", made.secret.encode(), first.challenge)
    transcript = Transcript("CRAM-MD5").followed_by(first.challenge, response)
    assert isinstance(await auth.authority.verify(transcript, Channel(SESSION, "192.0.2.1", True)), Identity)


async def test_a_plain_secret_crosses_the_bus_sealed_and_in_clear_proves_nothing(auth: Auth) -> None:
    made = await auth.mint(authcid="farm")
    assert isinstance(await auth.plain("farm", made.secret), Identity)
    assert not any(made.secret.encode() in data for data in auth.bus.seen)
    request = payloads.VerifyRequest(
        "r", "s", "PLAIN", plain.respond("farm", made.secret.encode()), (), "192.0.2.1", True
    )
    answer = await auth.responder.verify("", payloads.encode(request))
    assert answer is not None and payloads.decode(payloads.VerifyAnswer, answer).verdict == "unavailable"


async def test_a_sealed_response_is_for_its_request(auth: Auth) -> None:
    """What was caught on the bus and is said again under another id opens nothing."""
    made = await auth.mint(authcid="farm")
    await auth.plain("farm", made.secret)
    caught = payloads.decode(payloads.VerifyRequest, auth.bus.seen[-1])
    again = payloads.VerifyRequest("another", "s", "PLAIN", caught.initial, (), "192.0.2.1", True, is_sealed=True)
    answer = await auth.responder.verify("", payloads.encode(again))
    assert answer is not None and payloads.decode(payloads.VerifyAnswer, answer).verdict == "unavailable"


async def test_rotation_ends_the_old_secret_and_keeps_the_salt(auth: Auth) -> None:
    made = await auth.mint(authcid="farm")

    async def salt() -> bytes:
        first = await auth.authority.verify(
            Transcript("SCRAM-SHA-256", b"n,,n=farm,r=x"), Channel(SESSION, "192.0.2.1", True)
        )
        assert isinstance(first, Continue)
        return first.challenge.split(b",")[1]

    before = await salt()
    again = await auth.mint(credential_id=made.credential_id)
    assert again.secret not in ("", made.secret) and again.authcid == "farm"
    assert await auth.plain("farm", made.secret) == Denied()
    assert isinstance(await auth.plain("farm", again.secret), Identity)
    assert await salt() == before
    assert (await auth.mint(credential_id=str(auth.customer.customer_id))).error == "not_found"


async def _cram(auth: Auth, user: str, secret: str) -> object:
    channel = Channel(SESSION, "192.0.2.1", True)
    first = await auth.authority.verify(Transcript("CRAM-MD5"), channel)
    assert isinstance(first, Continue)
    response = cram_md5.respond(user, secret.encode(), first.challenge)
    return await auth.authority.verify(Transcript("CRAM-MD5").followed_by(first.challenge, response), channel)


async def test_while_a_rotation_overlaps_both_secrets_are_good(auth: Auth, pool: Pool) -> None:
    made = await auth.mint(authcid="farm")
    again = await auth.mint(credential_id=made.credential_id, overlap_seconds=3600)
    for secret in (made.secret, again.secret):
        assert isinstance(await auth.plain("farm", secret), Identity)
        assert isinstance(await _cram(auth, "farm", secret), Identity)
    await pool.execute("UPDATE credentials SET former_until = now() - interval '1 second'")
    assert await auth.plain("farm", made.secret) == Denied() == await _cram(auth, "farm", made.secret)
    assert isinstance(await auth.plain("farm", again.secret), Identity)
    last = await auth.mint(credential_id=made.credential_id)
    assert await auth.plain("farm", again.secret) == Denied()
    assert isinstance(await auth.plain("farm", last.secret), Identity)


async def test_a_credential_asks_for_the_domains_that_it_is_allowed(auth: Auth, pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO domains (id, customer_id, name) SELECT gen_random_uuid(), $1, name FROM unnest($2::text[]) AS name",
        auth.customer.customer_id, ["a.example", "b.example"],
    )  # fmt: skip
    for allowed, has in (
        ((), ("a.example", "b.example", "demo.example")),
        (("b.example", "not.theirs"), ("b.example",)),
    ):
        made = await auth.mint(allowed_domains=allowed)
        granted = await auth.plain(made.authcid, made.secret)
        assert isinstance(granted, Identity) and granted.domains == has


async def test_a_signed_request_gets_a_certificate_that_is_its_credential(auth: Auth, pool: Pool) -> None:
    made = await auth.mint(authcid="boat", certificate_request=request(ec.generate_private_key(ec.SECP256R1())))
    assert made.certificate and not made.secret
    channel = Channel(SESSION, "192.0.2.1", True, hashlib.sha256(made.certificate).digest())
    granted = await auth.authority.verify(Transcript("EXTERNAL", b""), channel)
    assert isinstance(granted, Identity) and granted.authcid == "boat"
    assert await pool.fetchval("SELECT certificate FROM credentials WHERE authcid = 'boat'") == made.certificate
    assert (await auth.mint(certificate_request=b"x")).error == "bad_request"


async def test_a_name_that_is_taken_is_a_conflict(auth: Auth) -> None:
    await auth.mint(authcid="farm")
    assert (await auth.mint(authcid="farm")).error == "conflict"


async def test_r13_failures_close_the_door_for_one_source_and_a_while(auth: Auth, pool: Pool) -> None:
    made = await auth.mint(authcid="farm")
    for _ in range(BY_NAME.free):
        assert await auth.plain("farm", "wrong") == Denied()
    assert await auth.plain("farm", made.secret) == Unavailable()
    assert await auth.plain("nobody", "wrong") == Denied()
    assert isinstance(await auth.plain("farm", made.secret, peer="198.51.100.7"), Identity)
    await pool.execute("UPDATE auth_failures SET last_at = last_at - $1::interval", timedelta(seconds=2))
    assert isinstance(await auth.plain("farm", made.secret), Identity)
    assert await auth.plain("farm", "wrong") == Denied()  # the name's failures are forgotten, the source's not
    assert await pool.fetchval("SELECT max(failures) FROM auth_failures") == BY_NAME.free + 2


async def test_no_secret_lies_in_a_dump_in_clear(auth: Auth, database_url: str, root: "object") -> None:
    """T6: a canary in pg_dump, in every form in which it could be read back."""
    made = await auth.mint(authcid="farm")
    layout = Layout(root)  # type: ignore[arg-type]
    binaries, _, _ = postgres.prepare(layout, "secret")
    dumped = await asyncio.to_thread(
        subprocess.run,
        [str(binaries / "pg_dump"), "--inserts", database_url],
        capture_output=True,
        cwd="/",
        env={"LC_ALL": "C.UTF-8"},
        check=True,
    )
    assert b"farm" in dumped.stdout
    for form in (made.secret.encode(), made.secret.encode().hex().encode()):
        assert form not in dumped.stdout
