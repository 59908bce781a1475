"""Any order of accept, lease, settle, crash, rescue, expire and reap, on a real PostgreSQL.

What is kept: nothing accepted is lost, nothing is settled twice, and usage counts each once.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from shared.domain.disposition import Deferred, Delivered, Disposition, Failed, Uncertain
from shared.domain.message import LeasedRecipient
from shared.domain.names import RecipientId
from shared.storage.accept import Acceptor
from shared.storage.engine import Pool, create_pool
from shared.storage.spool import Lease, Spool
from shared.storage.sweeps import EXPIRY, REAPER, RESCUER, ROLL_UP, Sweep, Sweeper
from tests.conftest import TABLES
from tests.storage.seeding import Seed, seed

T = TypeVar("T")
TIME = timedelta(hours=1)


class Loop:
    """An event loop in a thread: Hypothesis's rules are no coroutines."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def close(self) -> None:
        """Ends the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class SpoolMachine(RuleBasedStateMachine):
    """Sessions lease, send, settle late or never; leases run out; time passes."""

    loop: Loop
    database_url: str
    leases = Bundle("leases")
    sent = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.accepted: set[RecipientId] = set()
        self.settled: Counter[RecipientId] = Counter()
        self.delivered: set[RecipientId] = set()
        self.reaped: set[RecipientId] = set()
        self.pool: Pool | None = None

    @initialize()
    def begin(self) -> None:
        self.loop.run(self._begin())

    async def _begin(self) -> None:
        self.pool = await create_pool(self.database_url, size=4)
        await self.pool.execute("; ".join(f"DELETE FROM {table}" for table in TABLES))
        self.customer: Seed = await seed(self.database_url)
        self.spool, self.sweeper, self.acceptor = Spool(self.pool), Sweeper(self.pool), Acceptor(self.pool)
        self.acceptor.start()

    def teardown(self) -> None:
        if self.pool is not None:
            self.loop.run(self._end())

    async def _end(self) -> None:
        assert self.pool is not None
        await self.acceptor.close()
        await self.pool.close()

    @rule(recipients=st.integers(1, 3), count=st.integers(1, 4))
    def accept(self, recipients: int, count: int) -> None:
        for message in [self.customer.message(recipients=recipients) for _ in range(count)]:
            self.loop.run(self.acceptor.accept(message))
            self.accepted |= {recipient.id for recipient in message.recipients}

    @rule(target=leases)
    def open(self) -> Lease:
        lease = self.customer.lease()
        self.loop.run(self.spool.open_lease(lease, TIME))
        return lease

    @rule(target=sent, lease=leases, limit=st.integers(1, 5), with_back_off=st.booleans())
    def lease(self, lease: Lease, limit: int, with_back_off: bool) -> Any:
        rows = self.loop.run(self.spool.lease(lease, [self.customer.domain], limit, with_back_off=with_back_off))
        return multiple(*((lease, row) for row in rows))

    @rule(one=sent, kind=st.sampled_from(["delivered", "deferred", "failed", "uncertain", "cut"]))
    def settle(self, one: tuple[Lease, LeasedRecipient], kind: str) -> None:
        lease, row = one
        dispositions: dict[str, Disposition] = {
            "delivered": Delivered("250"), "deferred": Deferred("451", timedelta(minutes=5)), "failed": Failed("554"),
            "uncertain": Uncertain("dot"), "cut": Deferred("cut", timedelta(0)),
        }  # fmt: skip
        for changed in self.loop.run(self.spool.settle(lease, [(row.id, dispositions[kind])])):
            if kind in ("delivered", "failed"):
                self.settled[changed] += 1
            if kind == "delivered":
                self.delivered.add(changed)

    @rule(lease=leases)
    def close(self, lease: Lease) -> None:
        self.loop.run(self.spool.close_lease(lease))

    @rule(lease=leases)
    def crash(self, lease: Lease) -> None:
        """The session is gone and its time runs out."""
        assert self.pool is not None
        self.loop.run(
            self.pool.execute("UPDATE leases SET leased_until = now() - interval '1 s' WHERE id = $1", lease.id)
        )

    @rule(sweep=st.sampled_from([RESCUER, EXPIRY, ROLL_UP]))
    def sweep(self, sweep: Sweep) -> None:
        self.loop.run(self.sweeper.run(sweep))

    @rule()
    def reap(self) -> None:
        before = self.loop.run(self._rows())
        self.loop.run(self.sweeper.run(REAPER))
        self.reaped |= before.keys() - self.loop.run(self._rows()).keys()

    @rule()
    def time_passes(self) -> None:
        assert self.pool is not None
        self.loop.run(
            self.pool.execute(
                "UPDATE recipients SET received_at = received_at - interval '5 days', next_at = next_at - interval '5 days'"
            )
        )

    async def _rows(self) -> dict[RecipientId, str]:
        assert self.pool is not None
        return {row["id"]: row["state"] for row in await self.pool.fetch("SELECT id, state FROM recipients")}

    @invariant()
    def nothing_is_lost_and_nothing_settled_twice(self) -> None:
        if self.pool is None:
            return
        rows = self.loop.run(self._rows())
        assert self.accepted == rows.keys() | self.reaped
        assert self.reaped <= self.delivered
        assert max(self.settled.values(), default=0) <= 1
        assert {one for one, state in rows.items() if state == "delivered"} == self.delivered - self.reaped

    @invariant()
    def usage_counts_each_delivery_once(self) -> None:
        if self.pool is not None:
            assert self.loop.run(self._counted("messages_delivered")) == len(self.delivered)
            assert self.loop.run(self._counted("messages_received")) == len(self.accepted)

    @invariant()
    def what_waits_has_its_content(self) -> None:
        if self.pool is not None:
            query = "SELECT count(*) FROM recipients r WHERE NOT is_dsn_due AND state <> 'delivered' AND NOT EXISTS (SELECT FROM content c WHERE c.message_id = r.message_id)"
            assert self.loop.run(self.pool.fetchval(query)) == 0

    async def _counted(self, meter: str) -> int:
        assert self.pool is not None
        return int(
            await self.pool.fetchval(
                "SELECT coalesce((SELECT sum(amount) FROM usage WHERE meter = $1), 0) + coalesce((SELECT sum(amount) FROM usage_buckets WHERE meter = $1), 0)",
                meter,
            )
        )


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.mark.timeout(240)
def test_any_order_keeps_the_promise(database_url: str, loop: Loop) -> None:
    class Machine(SpoolMachine):
        pass

    Machine.loop, Machine.database_url = loop, database_url
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
