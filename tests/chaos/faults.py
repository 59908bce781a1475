"""Faults, one after the other, each written down with when it began and ended: kills at named moments, servers that die or
freeze, rolling restarts."""

import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from localserve.layout import SERVICES
from localserve.provider import Provider
from shared.storage.accept import RETRY_FOR
from shared.storage.engine import STATEMENT_TIMEOUT
from tests.chaos.customers import Customer
from tests.chaos.ledger import Ledger
from tests.waiting import lasts, until

#: Where a service may die: the named moments of a message's way.
MOMENTS = (
    "inbound.before_commit", "inbound.after_commit", "inbound.before_publish", "inbound.after_250",
    "odmr.leased", "odmr.turned", "odmr.mail", "odmr.data", "odmr.before_dot", "odmr.after_dot", "odmr.replied",
    "odmr.before_settle", "odmr.settled",
    "auth.verify", "outbound.rescuer", "outbound.reaper", "outbound.before_notices", "outbound.replied", "outbound.before_settle",
)  # fmt: skip
#: Servers and programs that die or freeze meanwhile.
DEPENDENCIES = (
    "postgres killed", "nats killed", "postgres frozen", "nats frozen", "auth frozen", "odmr frozen past its lease",
    "inbound frozen", "connector killed", "postgres frozen until statements give up and killed", "inbound cannot store",
)  # fmt: skip
#: What NATS has in its hands when it dies is told to nobody: the last mail of a run comes during this.
WAKE_UPS_LOST = "nats frozen and killed"
#: Seconds until a kill that was armed must have hit.
HIT_TIME = 25.0
#: Seconds of a freeze.
FREEZE = 2.0


class Faults:
    """Does them. `pace` scales every wait; `lease` is the lease time that is set, in seconds."""

    def __init__(
        self, provider: Provider, pipes: list[Customer], ledger: Ledger, *, pace: float, lease: float, seed: int
    ) -> None:
        self._provider = provider
        self._pipes = pipes
        self._ledger = ledger
        self._pace = pace
        self._lease = lease
        self._chance = random.Random(seed)
        self.hits: Counter[str] = Counter()
        self.missed = 0

    async def kill_at(self, moment: str) -> None:
        """Arms a failpoint in a new start of the service, and waits until it has died of it and is back."""
        service = moment.partition(".")[0]
        async with self._written(f"kill at {moment}"):
            await self._provider.restart(service, f"{moment}=kill@{self._chance.choice((1, 1, 2, 3))}")
            child = self._provider.child(service)

            async def has_died() -> bool:
                return child.starts > 1

            try:
                await until(has_died, HIT_TIME * self._pace)
                self.hits[moment] += 1
            except AssertionError:
                self.missed += 1
            await self._provider.answers()

    async def restart(self, service: str) -> None:
        """SIGTERM, and a new start."""
        async with self._written(f"restart of {service}"):
            await self._provider.restart(service)

    async def dependency(self, what: str) -> None:
        """One of DEPENDENCIES."""
        who, _, how = what.partition(" ")
        if who == "connector":
            for customer in self._pipes:
                self.kill_connectors(customer, 1)
            return
        async with self._written(what):
            if how == "cannot store":  # for longer than it tries: what it is at then it must not have taken
                await self._provider.restart(who, f"inbound.before_commit=raise:{RETRY_FOR + FREEZE}@3")
                await lasts(RETRY_FOR + 2 * FREEZE)
                return
            child = self._provider.child(who)
            pid, starts = child.pid, child.starts

            async def is_back() -> bool:
                return child.starts > starts

            frozen = _family(pid)
            if how.startswith("frozen"):
                for one in frozen:
                    _signal(one, signal.SIGSTOP)
                await lasts(self._freeze(how) * self._pace)
            if how.endswith("killed"):
                for one in frozen:
                    _signal(one, signal.SIGKILL)
                await until(is_back, 30)
            else:
                for one in frozen:
                    _signal(one, signal.SIGCONT)
            await self._provider.answers()

    def kill_connectors(self, customer: Customer, count: int | None = None) -> None:
        """Ends so many of a customer's connectors, or all, at once."""
        self._ledger.write(fault="connector killed", phase="begins")
        for child in customer.children[:count]:
            _signal(child.pid, signal.SIGKILL)
        self._ledger.write(fault="connector killed", phase="is over")

    def _freeze(self, how: str) -> float:
        if "give up" in how:
            return STATEMENT_TIMEOUT + RETRY_FOR + FREEZE
        return FREEZE + (self._lease if "lease" in how else 0.0)

    async def run(self, plan: list[str]) -> AsyncIterator[str]:
        """Does each of a plan of `kill ...`, `restart ...` and dependencies; gives its words when it is done."""
        for word in plan:
            verb, _, rest = word.partition(" ")
            if verb == "kill":
                await self.kill_at(rest)
            elif verb == "restart":
                await self.restart(rest)
            else:
                await self.dependency(word)
            yield word

    @asynccontextmanager
    async def _written(self, what: str) -> AsyncIterator[None]:
        self._ledger.write(fault=what, phase="begins")
        try:
            yield
        finally:
            self._ledger.write(fault=what, phase="is over")


def _family(pid: int | None) -> list[int]:
    """A process and its children: PostgreSQL's first one alone would leave the others, which do the work, at it."""
    if pid is None:
        return []
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                children.append(int(stat.parent.name))
    return [pid, *children]


def _signal(pid: int | None, number: signal.Signals) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def make_plan(kills: int, dependencies: int, restarts: int, seed: int) -> list[str]:
    """A shuffled plan in which every moment, dependency and service comes as often as the others."""
    plan = [f"kill {MOMENTS[i % len(MOMENTS)]}" for i in range(kills)]
    plan += [DEPENDENCIES[i % len(DEPENDENCIES)] for i in range(dependencies)]
    plan += [f"restart {SERVICES[i % len(SERVICES)]}" for i in range(restarts)]
    random.Random(seed).shuffle(plan)
    return plan
