"""After the turn: drives SmtpSender with what the session has leased. RFC 5321 4.5.3.2 for the time limits.

Security: the peer is the customer's server and may be hostile; the sender judges what it says, this module bounds how long
it may take. A row is settled only by what SmtpSender reports.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import groupby
from typing import Final, assert_never

import structlog

from services.odmr.keeper import Keeper
from services.odmr.parts import Parts
from services.odmr.settler import Settler
from shared.domain.disposition import Delivered, decide
from shared.domain.lease import LEASE_BATCH
from shared.domain.message import LeasedRecipient
from shared.domain.names import MessageId, RecipientId
from shared.failpoint import failpoint
from shared.protocol.dotstuff import BareLineEnd
from shared.protocol.events import ContentWanted, Finished, Outcome, Ready, SenderEnded, Waiting
from shared.protocol.sender import MAX_RECIPIENTS, SmtpSender, Step, Transaction
from shared.storage.sessions import TurnedSession
from shared.storage.spool import ContentMissing, Lease
from shared.tls import Stream

log = structlog.get_logger()

#: Seconds between two signs of life on a live session. Exim closes after 300 s of silence; R63: 240 at most.
NOOP_EVERY: Final = 240.0
#: Content up to this many octets is read with its batch, in one statement; 64 of them are 1 MiB.
SMALL: Final = 16 * 1024
#: Rows left in memory at which the next batch is asked for.
READ_AHEAD_AT: Final = LEASE_BATCH // 2


class Delivery:
    """The turned half of one session; runs once."""

    def __init__(
        self,
        stream: Stream,
        parts: Parts,
        record: TurnedSession,
        lease: Lease,
        rows: list[LeasedRecipient],
        *,
        line_a_record: bool,
        is_live: bool,
    ) -> None:
        self._stream = stream
        self._parts = parts
        self._record = record
        self._lease = lease
        self._line_a_record = line_a_record
        self._is_live = is_live
        self._began = parts.clock.monotonic()
        self._has_rested = False
        self._mail = asyncio.Event()
        self._reading: asyncio.Task[bytes] | None = None
        self._sender = SmtpSender(parts.profile.hostname, may_pipeline=not line_a_record)
        self._settler = Settler(parts.spool, lease)
        self._keeper = Keeper(parts.spool, lease, record.credential_id, parts.terms, parts.clock)
        self._waiting: deque[LeasedRecipient] = deque(rows)
        self._contents: dict[MessageId, bytes] = {}
        self._ahead: asyncio.Task[list[LeasedRecipient]] | None = None
        self._in_flight: dict[int, list[LeasedRecipient]] = {}
        self._next_key = 0
        self._replied: tuple[int, Step | None] = (-1, None)
        self._deadline = 0.0
        self._is_exhausted = False
        self._messages = 0
        self._octets = 0
        self._why = ""

    async def run(self) -> None:
        """Sends until the queue is empty or the line is over; leaves no lease behind."""
        try:
            await self._parts.sessions.turned(self._record)
            await self._keeper.start()
            await self._read_small_contents(list(self._waiting))
            with self._parts.wakeups.waiting(self._record.customer_id) as self._mail:
                await self._converse()
        except asyncio.CancelledError:
            self._why = self._why or "stopped"
            raise
        except Exception as error:
            self._why = f"{type(error).__name__}: {error}"
            log.exception("delivery.failed")
        finally:
            await asyncio.shield(asyncio.ensure_future(self._finish()))

    async def _converse(self) -> None:
        while True:
            event = self._sender.next_event()
            match event:
                case Waiting():
                    if self._sender.is_over:
                        return
                    await self._exchange()
                case Ready():
                    await self._begin_next()
                case ContentWanted(key):
                    await self._send_content(key)
                case Finished(key, outcomes):
                    self._record_outcomes(key, outcomes)
                case SenderEnded(clean, why):
                    self._why = why
                    log.info("delivery.ended", clean=clean, why=why)
                case _:
                    assert_never(event)

    async def _finish(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._sender.abort(self._why)
        while not isinstance(event := self._sender.next_event(), Waiting):
            if isinstance(event, Finished):
                self._record_outcomes(event.key, event.outcomes)
        if self._ahead is not None:
            with contextlib.suppress(Exception):
                await self._ahead
        await self._settler.close()
        await self._keeper.close()
        try:
            await self._parts.spool.close_lease(self._lease)
            await self._parts.sessions.ended(self._record.id, self._messages, self._octets, self._why)
        except Exception:
            log.exception("lease.not_closed")  # the rescuer will
        log.info("session.ended", messages=self._messages, octets=self._octets, why=self._why)

    # --- the line -----------------------------------------------------------------------------------------------------

    async def _exchange(self) -> None:
        """Writes what is due, then reads. After a failed write it still reads what the peer has said."""
        limit = self._parts.limits.reply(self._sender.waits_for or Step.RSET)
        try:
            await self._flush()
        except TimeoutError:
            self._sender.abort(f"a block was not taken within {self._parts.limits.block:.0f} s")
            return
        except OSError:
            await self._read_to_the_end()
            return
        now = self._parts.clock.monotonic()
        if self._replied != (self._sender.replies, self._sender.waits_for):  # octets alone buy no time
            self._replied = (self._sender.replies, self._sender.waits_for)
            self._deadline = now + limit
        done, _ = await asyncio.wait({self._read()}, timeout=max(0.0, self._deadline - now))
        if done:
            self._take_data()
        else:
            self._sender.abort(f"no reply within {limit:.0f} s")

    def _read(self) -> "asyncio.Task[bytes]":
        """One read that goes on over many waits: a read that is cancelled may have taken octets with it."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._stream.read())
        return self._reading

    def _take_data(self) -> None:
        assert self._reading is not None
        self._sender.receive_data(self._reading.result())
        self._reading = None

    async def _read_to_the_end(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._parts.limits.block):
                while data := await self._read():
                    self._reading = None
                    self._sender.receive_data(data)
        self._sender.receive_data(b"")

    async def _flush(self) -> None:
        data = self._sender.data_to_send()
        async with asyncio.timeout(self._parts.limits.block):
            if self._line_a_record:
                await self._stream.write_lines(data)
            else:
                await self._stream.write(data)

    # --- messages -----------------------------------------------------------------------------------------------------

    async def _begin_next(self) -> None:
        group = None
        while group is None:
            await self._settler.room()
            self._mail.clear()
            group = None if self._parts.stopping.is_set() else await self._next_group()
            if group is None and (self._parts.stopping.is_set() or not self._may_rest()):
                self._sender.quit()
                return
            if group is None and not await self._rest():
                return
        first = group[0]
        self._next_key += 1
        self._in_flight[self._next_key] = group
        failpoint("odmr.mail")
        self._sender.begin(
            Transaction(
                self._next_key,
                first.reverse_path,
                tuple(row.forward_path for row in group),
                first.size,
                first.has_eight_bit,
                first.sends_eight_bit,
            )
        )

    def _may_rest(self) -> bool:
        return self._is_live and self._keeper.is_trusted and self._rest_time() > 0

    def _rest_time(self) -> float:
        """Seconds until something must be said: that we are still there, or QUIT when the session has lasted enough."""
        left = self._began + self._parts.limits.live - self._parts.clock.monotonic()
        return min(NOOP_EVERY, left)

    async def _rest(self) -> bool:
        """Nothing is due: waits for mail. False when the server spoke, or is asked whether it is still there."""
        self._has_rested = True
        mail = asyncio.create_task(self._mail.wait())
        stop = asyncio.create_task(self._parts.stopping.wait())
        try:
            done, _ = await asyncio.wait(
                {mail, stop, self._read()}, timeout=self._rest_time(), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            mail.cancel()
            stop.cancel()
        if self._reading in done:
            self._take_data()
            return False
        if not done and self._may_rest():
            self._sender.noop()
            return False
        return True

    async def _next_group(self) -> list[LeasedRecipient] | None:
        """Neighbours of one message and domain, whose lease and domain still stand; None when there is no more."""
        while True:
            await self._fill()
            if not self._waiting:
                return None
            first = self._waiting[0]
            same = next(groupby(self._waiting, lambda row: row.message_id))[1]
            group = [row for row, _ in zip(same, range(MAX_RECIPIENTS), strict=False)]
            for _ in group:
                self._waiting.popleft()
            allowed = [row for row in group if self._keeper.may_start(row.domain)]
            if allowed:
                return allowed
            if not self._keeper.may_start(first.domain):
                log.warning("delivery.not_trusted", domain=first.domain)
                return None

    async def _fill(self) -> None:
        """Leases the next batch while the last rows of this one are sent; only with none left does it wait for it.

        The queue counts as empty when a lease that began with nothing left in memory gives nothing.
        """
        if len(self._waiting) < READ_AHEAD_AT and self._ahead is None and not self._is_exhausted:
            self._ahead = asyncio.create_task(self._lease_more())
        if self._ahead is not None and (self._ahead.done() or not self._waiting):
            rows = await self._ahead
            self._ahead = None
            self._waiting.extend(rows)
            self._is_exhausted = not rows
        if not self._waiting:
            self._waiting.extend(await self._lease_more())
            self._is_exhausted = False

    async def _lease_more(self) -> list[LeasedRecipient]:
        rows = await self._parts.spool.lease(
            self._lease, self._record.domains, LEASE_BATCH, with_back_off=not self._has_rested
        )
        await self._read_small_contents(rows)
        return rows

    async def _read_small_contents(self, rows: list[LeasedRecipient]) -> None:
        small = {row.message_id for row in rows if row.size <= SMALL} - self._contents.keys()
        if small:
            self._contents.update(await self._parts.spool.small_contents(list(small)))

    async def _chunks(self, row: LeasedRecipient) -> AsyncIterator[bytes]:
        small = self._contents.pop(row.message_id, None)
        if small is not None:
            yield small
            return
        async for chunk in self._parts.spool.content(row.message_id, row.size):
            yield chunk

    async def _send_content(self, key: int) -> None:
        """Writes the content as it is read. Whatever goes wrong ends the session without a dot."""
        failpoint("odmr.data")
        row = self._in_flight[key][0]
        try:
            async for chunk in self._chunks(row):
                self._sender.write_content(chunk)
                await self._flush()
            if not self._keeper.may_start(row.domain):
                self._sender.abort("the lease is not trusted any more")
                return
            self._sender.end_content()
            failpoint("odmr.before_dot")
            await self._flush()
            failpoint("odmr.after_dot")
        except TimeoutError:
            self._sender.abort(f"a block was not taken within {self._parts.limits.block:.0f} s")
        except (ContentMissing, BareLineEnd) as error:
            log.error("content.broken", message_id=str(row.message_id), error=f"{type(error).__name__}: {error}")
            self._sender.abort("our own content cannot be sent")
        except OSError:
            await self._read_to_the_end()

    def _record_outcomes(self, key: int, outcomes: tuple[Outcome, ...]) -> None:
        failpoint("odmr.replied")
        group = self._in_flight.pop(key)
        now = self._parts.clock.now()
        rows = [(row, decide(
 outcome, attempts=row.attempts, age=max(now - row.received_at, _NOT_YET), fail_after=row.fail_after))
                for row, outcome in zip(group, outcomes, strict=True)]  # fmt: skip
        delivered = [row for row, disposition in rows if isinstance(disposition, Delivered)]
        if delivered:
            self._messages += 1
            self._octets += delivered[0].size
        for row, disposition in rows:
            log.info(
                f"recipient.{type(disposition).__name__.lower()}",
                message_id=str(row.message_id),
                recipient_id=str(row.id),
                outcome=str(outcomes[0].stage.value) if len(outcomes) == 1 else "",
            )
        self._contents.pop(group[0].message_id, None)
        self._settler.put([(RecipientId(row.id), disposition) for row, disposition in rows])


_NOT_YET: Final = timedelta(0)
