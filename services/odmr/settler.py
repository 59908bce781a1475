"""Commits dispositions behind the session's back, in batches, so that the reader of replies never waits for the database."""

import asyncio
from typing import Final

import structlog

from shared.domain.disposition import Disposition
from shared.domain.names import RecipientId
from shared.failpoint import failpoint
from shared.storage.spool import Lease, Spool

log = structlog.get_logger()

#: Rows of one statement.
MAX_BATCH: Final = 256
#: Rows in flight or uncommitted at which the session starts no more: what a crash may send twice (RELIABILITY L4).
MAX_UNSETTLED: Final = 256
#: Seconds in which a settle is tried again: what is lost here is sent twice.
RETRY_FOR: Final = 120.0
RETRY_EVERY: Final = 0.5


class Settler:
    """One a session."""

    def __init__(self, spool: Spool, lease: Lease) -> None:
        self._spool = spool
        self._lease = lease
        self._rows: list[tuple[RecipientId, Disposition]] = []
        self._unsettled = 0
        self._change: asyncio.Event | None = None
        #: Only while there is something to commit: thousands of sessions have nothing for hours.
        self._task: asyncio.Task[None] | None = None

    def put(self, rows: list[tuple[RecipientId, Disposition]]) -> None:
        """Takes what became of these rows."""
        self._rows.extend(rows)
        self._unsettled += len(rows)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    @property
    def change(self) -> asyncio.Event:
        """Is set when the next batch is committed; then there is a new one."""
        self._change = self._change or asyncio.Event()
        return self._change

    def has_room(self, in_flight: int) -> bool:
        """Whether another message may be started beside so many rows whose outcome is not known yet."""
        return self._unsettled + in_flight < MAX_UNSETTLED

    async def close(self) -> None:
        """Commits the rest."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while self._rows:
            batch, self._rows = self._rows[:MAX_BATCH], self._rows[MAX_BATCH:]
            await self._settle(batch)
            self._unsettled -= len(batch)
            if self._change is not None:
                self._change.set()
                self._change = None

    async def _settle(self, batch: list[tuple[RecipientId, Disposition]]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RETRY_FOR
        while True:
            try:
                failpoint("odmr.before_settle")
                changed = await self._spool.settle(self._lease, batch)
                failpoint("odmr.settled")
            except Exception as error:  # whatever it is: what is not settled is sent twice
                log.warning("settle.failed", rows=len(batch), error=f"{type(error).__name__}: {error}")
                if loop.time() > deadline:
                    log.error("settle.given_up", rows=len(batch))
                    return
                await asyncio.sleep(RETRY_EVERY)
            else:
                if len(changed) < len(batch):
                    log.warning("settle.fenced", rows=len(batch) - len(changed))
                return
