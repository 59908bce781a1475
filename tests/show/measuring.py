"""What the lists measure: memory of a service, the time of a push, the time of ATRN beside the mail of others."""

import asyncio
import base64
import bisect
import math
import os
import signal
import smtplib
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from localserve.layout import SERVICES
from localserve.provider import Provider
from localserve.provision import make_customer
from localserve.sink import Received, Sink
from services.auth.keyring import Keyring
from services.auth.minter import Minter
from services.auth.seal import Seal
from services.auth.verifier import Channel, Verifier
from shared.bus import payloads
from shared.protocol.events import Continue
from shared.protocol.reply import S250_OK, Reply
from shared.protocol.sasl import cram_md5
from shared.protocol.sasl.transcript import Transcript
from shared.storage.credentials import Credentials
from shared.storage.engine import create_engine
from shared.storage.throttle import AuthFailures
from tests.flows.customer import call, start
from tests.flows.live import database
from tests.flows.sender import DOMAIN, content, name_of
from tests.show.lines import NotShown
from tests.waiting import until

MIB = 1024 * 1024


def status_of(provider: Provider, service: str, field: str) -> int:
    """Octets, of a line of proc(5) status such as VmRSS."""
    with open(f"/proc/{provider.child(service).pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{field}:"))


async def growth(provider: Provider, octets: int) -> dict[str, int]:
    """By how much each service's memory stood higher, at its peak, while a message of this size went in and out."""
    await _send_and_fetch(provider, 1024)
    before = {}
    for service in SERVICES:
        with open(f"/proc/{provider.child(service).pid}/clear_refs", "w") as file:
            file.write("5")  # proc(5): the peak is forgotten
        before[service] = status_of(provider, service, "VmRSS")
    await _send_and_fetch(provider, octets)
    return {service: status_of(provider, service, "VmHWM") - before[service] for service in SERVICES}


async def _send_and_fetch(provider: Provider, octets: int) -> None:
    body = content("big") + (b"x" * 76 + b"\r\n") * (octets // 78)
    await asyncio.to_thread(_send, provider.ports.smtp, body)
    async with Sink() as sink:
        result = await call(provider, sink)
        if result.exit or len(sink.messages) != 1 or not sink.messages[0].content.endswith(body):
            raise NotShown(f"the message of {len(body)} octets did not come as it was: {result}")


def _send(port: int, body: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=120) as smtp:
        smtp.sendmail("a@remote.example", [f"user@{DOMAIN}"], body)


@asynccontextmanager
async def live_customer(provider: Provider) -> AsyncIterator[dict[str, float]]:
    """A connector that stays; name of a message -> when the customer's server had it."""
    came: dict[str, float] = {}

    def take(message: Received) -> Reply:
        came[name_of(message.content)] = time.monotonic()
        return S250_OK

    connection = await database(provider)
    async with Sink(take) as sink:
        process = await start(provider, sink, command="run", options=("--live", "--every", "1"))

        async def is_turned() -> bool:
            return bool(await connection.fetchval("SELECT count(*) FROM sessions WHERE ended_at IS NULL"))

        try:
            await until(is_turned, 20, "the live session")
            yield came
        finally:
            process.terminate()
            await process.communicate()
            await connection.close()


async def pushes(provider: Provider, came: dict[str, float], count: int, prefix: str, seconds: float) -> list[float]:
    """Seconds from the sender's 250, which follows the commit, to the customer's server having all of it."""
    taken: list[float] = []
    for i in range(count):
        name = f"{prefix}-{i}"
        await asyncio.to_thread(_send, provider.ports.smtp, content(name))
        at = time.monotonic()

        async def is_there(name: str = name) -> bool:
            return name in came

        await until(is_there, seconds, f"{name} at the customer")
        taken.append(max(0.0, came[name] - at))
    return taken


def median_and_worst(taken: list[float]) -> tuple[float, float]:
    """Both in milliseconds."""
    return statistics.median(taken) * 1000, max(taken) * 1000


@asynccontextmanager
async def frozen(provider: Provider, name: str) -> AsyncIterator[None]:
    """A program that answers nothing meanwhile."""
    pid = provider.child(name).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def atrn_beside(provider: Provider, rows: int) -> float:
    """Seconds of a whole call, from the connection to 453 or the mail taken, beside so many messages of others."""
    connection = await database(provider)
    await make_customer(provider, "crowd", ["crowd.example"])
    await connection.execute(
        "INSERT INTO recipients (id, message_id, customer_id, domain_id, domain, forward_path, size, received_at, next_at) "
        "SELECT gen_random_uuid(), gen_random_uuid(), d.customer_id, d.id, d.name, 'u@crowd.example', 4096, now(), now() "
        "FROM domains d, generate_series(1, $1) WHERE d.name = 'crowd.example'",
        rows,
        timeout=300,
    )
    await connection.execute("ANALYZE recipients", timeout=60)
    try:
        taken = []
        async with Sink() as sink:
            for i in range(5):
                await asyncio.to_thread(_send, provider.ports.smtp, content(f"own-{i}"))
                began = time.monotonic()
                result = await call(provider, sink)
                taken.append(time.monotonic() - began)
                if result.exit or len(sink.messages) != i + 1:
                    raise NotShown(f"beside {rows} messages of others the call ended with {result}")
        return statistics.median(taken)
    finally:
        await connection.execute("DELETE FROM recipients WHERE domain = 'crowd.example'", timeout=300)
        await connection.close()


#: Names of each kind, and wrong secrets tried for each: few enough that no door closes.
NAMES, TRIES = 120, 9


async def denials(provider: Provider) -> tuple[float, float]:
    """How a denial of a known name differs from one of an unknown name, asked in turn: as `difference` has it."""
    engine = create_engine(provider.database_url, size=2)
    credentials, seal = Credentials(engine), Seal(base64.b64decode(provider.secrets.seal_key))
    customer = str(await _one_customer(provider))
    minter = Minter(credentials, Keyring(seal), provider.clock)
    known = [(await minter.mint(payloads.MintRequest("r", customer, f"known-{i}"))).authcid for i in range(NAMES)]
    unknown = [f"guess-{i}" for i in range(NAMES)]
    verifier = Verifier(credentials, AuthFailures(engine), seal, "mx", provider.clock.monotonic)
    taken: dict[bool, list[float]] = {True: [], False: []}
    for attempt in range(TRIES + 1):
        for names in zip(known, unknown, strict=True):
            for name in names if attempt % 2 else names[::-1]:
                channel = Channel(f"s{attempt}", "192.0.2.1", True)
                challenge = await verifier.verify(Transcript("CRAM-MD5"), channel)
                assert isinstance(challenge, Continue)
                response = cram_md5.respond(name, b"wrong", challenge.challenge)
                transcript = Transcript("CRAM-MD5").followed_by(challenge.challenge, response)
                began = time.perf_counter()
                await verifier.verify(transcript, channel)
                if attempt:  # the first of each warms up
                    taken[name in names[:1]].append(time.perf_counter() - began)
        await _open_doors(provider)
    await engine.dispose()
    return difference(taken[True], taken[False])


async def _open_doors(provider: Provider) -> None:
    """The doors are opened again between two rounds."""
    connection = await database(provider)
    await connection.execute("DELETE FROM auth_failures")
    await connection.close()


async def _one_customer(provider: Provider) -> object:
    connection = await database(provider)
    found = await connection.fetchval("SELECT id FROM customers LIMIT 1")
    await connection.close()
    return found


def difference(one: list[float], other: list[float]) -> tuple[float, float]:
    """Of two samples of seconds: the difference of the medians in milliseconds, and the Kolmogorov-Smirnov distance over the
    distance at which two samples of this size are told apart with p = 0.01: below 1 they are not."""
    medians = abs(statistics.median(one) - statistics.median(other)) * 1000
    one, other = sorted(one), sorted(other)
    distance = max(
        abs(bisect.bisect_right(one, at) / len(one) - bisect.bisect_right(other, at) / len(other)) for at in one + other
    )
    told_apart = 1.63 * math.sqrt((len(one) + len(other)) / (len(one) * len(other)))
    return medians, distance / told_apart
