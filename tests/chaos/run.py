"""One run: a provider in processes of its own, senders, customers, a plan of faults; then the quiet, and the evidence."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg

from localserve.layout import Ports, temporary_root
from localserve.provider import Provider
from localserve.provision import client, provision
from tests.chaos.checker import Evidence, Violation, check
from tests.chaos.customers import CUSTOMERS, Customer, CustomersServer, start_customer
from tests.chaos.faults import WAKE_UPS_LOST, Faults
from tests.chaos.generator import Generator
from tests.chaos.ledger import Ledger, read
from tests.waiting import lasts

#: Seconds from the last fault until all is quiet. RELIABILITY L8.
RECOVERY = 60.0
#: Messages before the first fault: what comes twice among them has no excuse.
CALM = 0.1
#: Messages of which no wake-up tells, when nothing comes after them.
LAST = 40
LEASE = 4.0
#: What is not over, and why a sweep or the notifier may not have it; who holds a lock of the sweeps.
WAITS = """
SELECT r.domain, r.state, count(*) AS rows, max(r.attempts) AS attempts, max(r.lost_leases) AS lost,
    max(r.next_at) - now() AS due, max(r.last_reply) AS reply, max(l.leased_until) - now() AS leased_for,
    max(now() - s.started_at) AS session_since, bool_or(r.is_dsn_due) AS is_dsn_due, max(now() - r.settled_at) AS settled,
    count(m.id) AS messages, count(n.recipient_id) AS told, min(r.id::text) AS recipient
FROM recipients r LEFT JOIN leases l ON l.id = r.lease_id LEFT JOIN sessions s ON s.id = l.session_id
    LEFT JOIN messages m ON m.id = r.message_id LEFT JOIN notices n ON n.recipient_id = r.id
WHERE r.state IN ('queued', 'leased', 'failed') OR r.settled_at < now() - interval '10 seconds' GROUP BY r.domain, r.state
"""
LOCKS = """
SELECT k.objid AS lock, a.state AS holder, now() - a.xact_start AS since, left(a.query, 60) AS query
FROM pg_locks k JOIN pg_stat_activity a USING (pid) WHERE k.locktype = 'advisory'
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what. `pace` scales every wait and every time-out of the provider's."""

    messages: int
    faults: list[str]
    a_second: float = 30.0
    pace: float = 1.0
    seed: int = 1
    recovery: float = RECOVERY
    #: Of so many messages one is cut off in the middle of its content.
    cut_every: int = 500


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to."""

    acked: int
    hits: dict[str, int]
    missed: int
    copies: int
    notices: int
    seconds: float
    violations: list[Violation]


def settings(pace: float) -> dict[str, str]:
    """The provider's waits, as one number scales them."""
    return {
        "ODMR_LEASE_SECONDS": f"{LEASE * pace}",
        "ODMR_SWEEP_SECONDS": f"{0.2 * pace}",
        "ODMR_OUTBOUND_SECONDS": f"{0.2 * pace}",
        "ODMR_POLL_SECONDS": f"{1.0 * pace}",
        "ODMR_DRAIN_SECONDS": f"{5.0 * pace}",
        "ODMR_DSN_PER_MINUTE": "100000",
        "ODMR_HOSTNAME": "mx.provider.example",
    }


async def run(plan: Plan, tell: Callable[[str, int, int], None] = lambda _what, _done, _all: None) -> Result:
    """Runs it; `tell` hears what is done now, and how far it is."""
    began = time.monotonic()
    with temporary_root("odmr-chaos-") as root:
        provider = Provider(root, Ports(0, 0, 0, 0, 0), extra_env=settings(plan.pace))
        world = _World(provider, root, plan)
        try:
            await provider.start()
            await provision(provider)
            return await world.run(tell, began)
        finally:
            await world.close()
            await provider.stop()


class _World:
    def __init__(self, provider: Provider, root: Path, plan: Plan) -> None:
        self._provider = provider
        self._plan = plan
        self._ledgers = {name: Ledger(root / f"{name}.ledger") for name in ("sent", "got", "faults")}
        self._customers = [Customer(name, f"{name}.example", *rest) for name, *rest in CUSTOMERS]  # type: ignore[arg-type]
        self._servers: list[CustomersServer] = []

    async def run(self, tell: Callable[[str, int, int], None], began: float) -> Result:
        plan, provider = self._plan, self._provider
        for customer in self._customers:
            server = CustomersServer(customer.name, self._ledgers["got"], self._ledgers["faults"])
            await server.sink.start()
            self._servers.append(server)
            await start_customer(provider, customer, server.sink.port)
        domains = [customer.domain for customer in self._customers]
        pipes = [customer for customer in self._customers if not customer.has_ledger]
        generator = Generator(provider.ports.smtp, domains, self._ledgers["sent"], plan.seed, plan.cut_every)
        faults = Faults(
            provider, pipes, self._ledgers["faults"], pace=plan.pace, lease=LEASE * plan.pace, seed=plan.seed
        )
        tell("calm", 0, len(plan.faults))
        await generator.send(until=lambda: generator.acked >= plan.messages * CALM)
        for customer, server in zip(self._customers, self._servers, strict=True):
            server.cut = None if customer.has_ledger else partial(faults.kill_connectors, customer)
        generator.cut = pipes[0].domain
        sending = asyncio.create_task(generator.send(until=lambda: is_over, a_second=plan.a_second))
        is_over, done = False, 0
        try:
            async for word in faults.run(plan.faults):
                done += 1
                tell(word, done, len(plan.faults))
        finally:
            is_over = True
            await sending
        tell("the rest", done, len(plan.faults))
        await generator.send(until=lambda: generator.acked >= plan.messages)
        late = await self._not_quiet("the last fault")  # who still fetches would find the last mail without being told
        for server in self._servers:
            server.cut = None
        generator.cut = ""
        late = late or await self._without_wake_ups(faults, generator)
        await self._end_connectors()
        violations = [*check(await self._evidence()), *late, *await self._left_behind()]
        return Result(
            generator.acked, dict(faults.hits), faults.missed, self._copies(), len(provider.outbox.messages),
            time.monotonic() - began, violations,
        )  # fmt: skip

    async def _without_wake_ups(self, faults: Faults, generator: Generator) -> list[Violation]:
        losing = asyncio.create_task(faults.dependency(WAKE_UPS_LOST))
        await lasts(0.2)
        enough = generator.acked + LAST
        await generator.send(until=lambda: generator.acked >= enough)
        await losing
        return await self._not_quiet("the wake-ups that were lost")

    async def close(self) -> None:
        await self._end_connectors()
        for server in self._servers:
            await server.sink.stop()
        for ledger in self._ledgers.values():
            with contextlib.suppress(OSError):
                ledger.close()

    async def _end_connectors(self) -> None:
        for customer in self._customers:
            await asyncio.gather(*(child.stop() for child in customer.children))
            customer.children.clear()

    async def _not_quiet(self, since: str) -> list[Violation]:
        """L8: in time nothing waits for a customer or, of notices, for a sender."""
        seconds = self._plan.recovery
        if await self._is_quiet(seconds):
            return []
        return [Violation("L8", f"not quiet {seconds:.0f} s after {since}: {await self._what_waits()}")]

    async def _is_quiet(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        async with client(self._provider) as api:
            while time.monotonic() < deadline:
                left = 0
                for state in ("queued", "leased", "failed"):
                    answer = await api.get("/v1/messages", params={"state": state, "limit": 1})
                    left += len(answer.json()["data"]) if answer.status_code == 200 else 1
                if not left:
                    return True
                await asyncio.sleep(0.1)
        return False

    async def _what_waits(self) -> str:
        """For whoever reads of it: which rows, and who has them."""
        connection = await asyncpg.connect(self._provider.database_url)
        try:
            rows = [*await connection.fetch(WAITS), *await connection.fetch(LOCKS)]
        finally:
            await connection.close()
        words = [" ".join(f"{name}={value}" for name, value in row.items() if value is not None) for row in rows]
        said = self._provider.layout.log("outbound").read_text().splitlines()
        words += [line for line in said if "failed" in line or "broken" in line or "impossible" in line][-3:]
        return "; ".join(words)

    async def _evidence(self) -> Evidence:
        async with client(self._provider) as api:
            usage = (await api.get("/v1/usage", params={"granularity": "month", "limit": 100})).json()["data"]
            waiting, cursor = set(), None
            while True:
                params = {"limit": 100, **({"cursor": cursor} if cursor else {})}
                page = (await api.get("/v1/messages", params=params)).json()
                waiting |= {
                    (_hex_of(one["id"]), recipient["forward_path"])
                    for one in page["data"]
                    for recipient in one["recipients"]
                    if recipient["state"] in ("queued", "leased", "held")
                }
                cursor = page["next_cursor"]
                if not page["has_more"]:
                    break
        return Evidence(
            sent=read(self._ledgers["sent"].path),
            got=read(self._ledgers["got"].path),
            faults=read(self._ledgers["faults"].path),
            notices=[message.content for message in self._provider.outbox.messages],
            customers={one.name: (one.domain, one.has_ledger) for one in self._customers},
            waiting=waiting,
            usage={(one["domain"], one["meter"]): one["amount"] for one in usage},
        )

    def _copies(self) -> int:
        got = [(x["name"], x["path"]) for x in read(self._ledgers["got"].path) if x["told"] == 250]
        return len(got) - len(set(got))

    async def _left_behind(self) -> list[Violation]:
        """L7 looks into the database: no API shows what nobody owns."""
        connection = await asyncpg.connect(self._provider.database_url)
        try:
            found = []
            for what, query in (
                ("leases", "SELECT count(*) FROM leases WHERE leased_until < now() - interval '10 seconds'"),
                (
                    "contents",
                    "SELECT count(DISTINCT message_id) FROM content c WHERE NOT EXISTS (SELECT FROM recipients r WHERE r.message_id = c.message_id) AND NOT EXISTS (SELECT FROM uploads u WHERE u.message_id = c.message_id)",
                ),
                (
                    "messages",
                    "SELECT count(*) FROM messages m WHERE NOT EXISTS (SELECT FROM recipients r WHERE r.message_id = m.id)",
                ),
            ):
                count = await connection.fetchval(query)
                if count:
                    found.append(Violation("L7", f"{count} {what} that nobody owns"))
            return found
        finally:
            await connection.close()


def _hex_of(public_id: str) -> str:
    from shared.domain.names import from_public_id

    return from_public_id("msg", public_id).hex
