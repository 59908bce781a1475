"""Races of two sessions on one queue: odmr is stopped in the middle of the first past its lease, and a second odmr gives the rest
to the second session; then the first thaws. RELIABILITY X7, T12."""

import asyncio
import os
import random
import signal
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncpg

from connector.deliver import Address
from connector.schedule import call_once
from connector.settings import Settings
from localserve.children import Child
from localserve.layout import free_port
from localserve.provider import Provider
from localserve.provision import make_customer
from localserve.sink import Received, Sink
from shared.clock import Clock
from shared.domain.message import Message, Recipient
from shared.domain.names import CustomerId, DomainId, MessageId, RecipientId, domain_name
from shared.protocol.reply import S250_OK, Reply
from shared.storage.accept import Acceptor
from shared.storage.engine import create_pool
from tests.waiting import lasts, until

#: Lease time, in seconds, and how long the first odmr is stopped: well past it.
LEASE = 0.5
FROZEN = 1.2
SETTINGS = {"ODMR_LEASE_SECONDS": str(LEASE), "ODMR_SWEEP_SECONDS": "0.05"}
MESSAGES = 12
#: One session of so many may be stopped between its look at the lease and its write, which no process can do at one moment.
MAY_THAW = 100
CLOCK = Clock()


@dataclass
class Racer:
    """One customer with two connectors; who got which message, in order."""

    domain: str
    customer_id: CustomerId
    domain_id: DomainId
    settings: Settings
    sink: Sink = field(default_factory=Sink)
    got: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def answer(self, message: Received) -> Reply:
        """Takes it, and writes down when."""
        name = message.content.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()
        self.got[name].append(asyncio.get_running_loop().time())
        self.sink.messages.clear()
        return S250_OK


@dataclass(frozen=True, slots=True)
class Races:
    """How many second sessions had to take over, and how many messages came twice, with a ledger and without."""

    races: int
    twice_by_rule: int
    twice_with_ledger: int


async def race(provider: Provider, races: int, customers: int, seed: int = 1) -> Races:
    """Rounds until so many races were run. Fails when anything is lost, or comes three times, or twice without an excuse."""
    chance = random.Random(seed)
    port = free_port()
    listen = {"ODMR_ODMR_LISTEN": f"127.0.0.1:{port}", "ODMR_ODMR_TLS_LISTEN": "", "ODMR_ODMR_CERTIFICATE_LISTEN": ""}
    first = await provider.another("odmr", "odmr-frozen", port, listen)
    racers = [await _make(provider, i) for i in range(customers)]
    pool = await create_pool(provider.database_url)
    run = by_rule = with_ledger = thawed = 0
    try:
        while run < races:
            for racer in racers:
                racer.got.clear()
            await _fill(pool, racers)
            frozen_at = await _round(provider, first, port, racers, chance.uniform(0.0, 0.25))
            for racer in racers:
                assert set(racer.got) == {str(i) for i in range(MESSAGES)}, (racer.domain, sorted(racer.got))
                twice = [name for name, times in racer.got.items() if len(times) > 1]
                assert all(len(racer.got[name]) == 2 for name in twice), (racer.domain, racer.got)
                thawed += any(racer.got[name][0] > frozen_at + 0.1 for name in twice)
                assert not (twice and racer.settings.ledger), (racer.domain, {name: racer.got[name] for name in twice})
                run += any(times[0] > frozen_at for times in racer.got.values())
                by_rule += len(twice)
                with_ledger += len(twice) if racer.settings.ledger else 0
    finally:
        await first.stop()
        for racer in racers:
            await racer.sink.stop()
        await pool.close()
    assert thawed <= 1 + run // MAY_THAW, f"{thawed} sessions that thawed went on"
    return Races(run, by_rule, with_ledger)


async def _make(provider: Provider, number: int) -> Racer:
    domain, has_ledger = f"race{number}.example", bool(number % 2)
    user, secret = await make_customer(provider, f"race{number}", [domain])
    connection = await asyncpg.connect(provider.database_url)
    row = await connection.fetchrow("SELECT id, customer_id FROM domains WHERE name = $1", domain)
    assert row is not None
    await connection.close()
    ledger = Path(provider.layout.root / f"race{number}.taken") if has_ledger else None
    settings = Settings(
        Address("localhost", provider.ports.odmr), Address("127.0.0.1", 0), user, secret.encode(), ca_file=provider.ca_file,
        mode="relay" if has_ledger else "pipe", ledger=ledger,
    )  # fmt: skip
    racer = Racer(domain, CustomerId(row["customer_id"]), DomainId(row["id"]), settings)
    racer.sink = Sink(racer.answer)
    await racer.sink.start()
    racer.settings = replace(settings, deliver=Address("127.0.0.1", racer.sink.port))
    return racer


async def _fill(pool: "asyncpg.Pool[asyncpg.Record]", racers: list[Racer]) -> None:
    acceptor = Acceptor(pool)
    acceptor.start()
    for i in range(MESSAGES):
        content = b"Subject: %d\r\n\r\n%s\r\n" % (i, b"x" * 2_000)
        messages = [
            Message(
                MessageId(CLOCK.new_id()), "a@remote.example",
                (Recipient(RecipientId(CLOCK.new_id()), racer.customer_id, racer.domain_id, domain_name(racer.domain), f"u@{racer.domain}"),),
                len(content), b"", False, "x", "127.0.0.1", content=content,
            )
            for racer in racers
        ]  # fmt: skip
        await asyncio.gather(*(acceptor.accept(message) for message in messages))
    await acceptor.close()


async def _round(provider: Provider, first: Child, port: int, racers: list[Racer], after: float) -> float:
    """Gives when the first odmr was stopped."""
    loop = asyncio.get_running_loop()
    early = [asyncio.create_task(call_once(replace(r.settings, provider=Address("localhost", port)))) for r in racers]

    async def one_has_mail() -> bool:
        return any(racer.got for racer in racers)

    await until(one_has_mail, 20)
    await lasts(after)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGSTOP)
    frozen_at = loop.time()
    late = [asyncio.create_task(call_once(racer.settings)) for racer in racers]
    try:
        await lasts(FROZEN)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    await asyncio.gather(*early, *late)

    async def all_came() -> bool:
        return all(len(racer.got) == MESSAGES for racer in racers)

    try:
        await until(all_came, 2)
    except AssertionError:  # what a thawed session held till the end comes by another call
        await asyncio.gather(*(call_once(racer.settings) for racer in racers))
    return frozen_at
