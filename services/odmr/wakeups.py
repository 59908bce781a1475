"""Who waits for mail, and how it hears of it: a wake-up on the bus, and a poll for those that were lost.

One subscription and one statement a round for all live sessions of the process. A wake-up is only a hint: lost, doubled, late
or forged, it costs one look at the queue.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import structlog
from opentelemetry.trace import SpanKind

from shared import tracing
from shared.bus.subjects import customer_of
from shared.domain.names import CustomerId
from shared.storage.spool import Spool

log = structlog.get_logger()

#: Octets of the message's id, which a wake-up carries for its trace alone.
ID_SIZE: Final = 16


class Wakeups:
    """Live sessions wait here; `heard` and `poll_for_ever` wake them."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._waiting: dict[CustomerId, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def waiting(self, customer_id: CustomerId) -> Iterator[asyncio.Event]:
        """An event that is set when mail may have come for this customer, or by `wake_all`; the session clears it."""
        event = asyncio.Event()
        self._waiting[customer_id].add(event)
        try:
            yield event
        finally:
            self._waiting[customer_id].discard(event)
            if not self._waiting[customer_id]:
                del self._waiting[customer_id]

    async def heard(self, subject: str, data: bytes) -> bytes | None:
        """A message on the bus: that mail came, and which."""
        try:
            customer_id = CustomerId(UUID(customer_of(subject)))
        except ValueError:
            log.warning("wakeup.unreadable", subject=subject[:80])
            return None
        if customer_id in self._waiting:
            if len(data) == ID_SIZE:
                tracing.end(tracing.begin(UUID(bytes=data), "process mail.queued", SpanKind.CONSUMER))
            self._wake(customer_id)
        return None

    async def poll_for_ever(self, every: float) -> None:
        """Looks for what no wake-up told of, until cancelled."""
        while True:
            await asyncio.sleep(every)
            try:
                customers = list(self._waiting)
                for customer_id in await self._spool.with_mail(customers) if customers else ():
                    self._wake(customer_id)
            except Exception as error:
                log.warning("poll.failed", error=f"{type(error).__name__}: {error}")

    def wake_all(self) -> None:
        """Something else has changed than mail: each looks for itself."""
        for customer_id in self._waiting:
            self._wake(customer_id)

    def _wake(self, customer_id: CustomerId) -> None:
        for event in self._waiting.get(customer_id, ()):
            event.set()
