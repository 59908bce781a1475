"""What a session sends next: rows leased ahead of need, in order, and their content."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import Final

import structlog

from services.odmr.keeper import Keeper
from shared.domain.lease import LEASE_BATCH
from shared.domain.message import LeasedRecipient
from shared.domain.names import MessageId
from shared.protocol.flight import MAX_RECIPIENTS
from shared.storage.spool import Lease, Spool

log = structlog.get_logger()

#: Content up to this many octets is read with its batch, in one statement; 64 of them are 1 MiB.
SMALL: Final = 16 * 1024
#: Rows left in memory at which the next batch is asked for.
READ_AHEAD_AT: Final = LEASE_BATCH // 2


class Supply:
    """One a session. Raises the database's errors."""

    def __init__(
        self, spool: Spool, lease: Lease, domains: Sequence[str], keeper: Keeper, rows: Sequence[LeasedRecipient]
    ) -> None:
        self._spool = spool
        self._lease = lease
        self._domains = domains
        self._keeper = keeper
        self._rows = list(rows)
        self._contents: dict[MessageId, bytes] = {}
        self._ahead: asyncio.Task[list[LeasedRecipient]] | None = None
        self._is_exhausted = False
        #: An explicit ATRN overrides back-off once; a session that has rested waits for what is due.
        self.takes_back_off = True

    @property
    def is_at_hand(self) -> bool:
        """The next row is in memory: asking for it waits for nothing."""
        return bool(self._rows)

    async def start(self) -> None:
        """Reads the content of what was leased before the turn."""
        await self._read_small_contents(self._rows)

    async def close(self) -> None:
        """Nothing more is asked for. What was leased ahead goes back with the lease."""
        if self._ahead is not None:
            with contextlib.suppress(Exception):
                await self._ahead

    async def next_group(self) -> list[LeasedRecipient] | None:
        """Neighbours of one message, whose lease and domain still stand; None when there is no more."""
        while True:
            await self._fill()
            if not self._rows:
                return None
            first = self._rows[0]
            same = next(groupby(self._rows, lambda row: row.message_id))[1]
            group = [row for row, _ in zip(same, range(MAX_RECIPIENTS), strict=False)]
            del self._rows[: len(group)]
            allowed = [row for row in group if self._keeper.may_start(row.domain)]
            if allowed:
                return allowed
            if not self._keeper.may_start(first.domain):
                log.warning("delivery.not_trusted", domain=first.domain)
                return None

    def put_back(self, rows: Sequence[LeasedRecipient]) -> None:
        """These come next, in a transaction of their own: the server had enough of them in one (RFC 5321 4.5.3.1.10)."""
        self._rows[:0] = rows

    def forget(self, message_id: MessageId) -> None:
        """The content is not needed any more."""
        self._contents.pop(message_id, None)

    async def chunks(self, row: LeasedRecipient) -> AsyncIterator[bytes]:
        """The content in pieces, one in memory at a time. Raises ContentMissing."""
        small = self._contents.get(row.message_id)
        if small is not None:
            yield small
            return
        async for chunk in self._spool.content(row.message_id, row.size):
            yield chunk

    async def _fill(self) -> None:
        """Leases the next batch while the last rows of this one are sent; only with none left does it wait for it.

        The queue counts as empty when a lease that began with nothing left in memory gives nothing. Behind a suspect nothing
        is leased: what was would be lost with it.
        """
        may_ask = self._ahead is None and not self._is_exhausted
        if may_ask and len(self._rows) < READ_AHEAD_AT and not any(row.is_suspect for row in self._rows):
            self._ahead = asyncio.create_task(self._lease_more())
        if self._ahead is not None and (self._ahead.done() or not self._rows):
            rows = await self._ahead
            self._ahead = None
            self._rows.extend(rows)
            self._is_exhausted = not rows
        if not self._rows:
            self._rows.extend(await self._lease_more())
            self._is_exhausted = False

    async def _lease_more(self) -> list[LeasedRecipient]:
        rows = await self._spool.lease(self._lease, self._domains, LEASE_BATCH, with_back_off=self.takes_back_off)
        await self._read_small_contents(rows)
        return rows

    async def _read_small_contents(self, rows: Sequence[LeasedRecipient]) -> None:
        small = {row.message_id for row in rows if row.size <= SMALL} - self._contents.keys()
        if small:
            self._contents.update(await self._spool.small_contents(list(small)))
