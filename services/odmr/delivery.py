"""After the turn: drives SmtpSender with what the session has leased. RFC 5321 4.5.3.2 for the time limits.

Security: the peer is the customer's server and may be hostile; the sender judges what it says, this module bounds how long
it may take. A row is settled only by what SmtpSender reports.
"""

import asyncio
import contextlib
from typing import Final, assert_never

import structlog
from opentelemetry.trace import Span, SpanKind

from services.odmr.keeper import Keeper
from services.odmr.parts import Parts
from services.odmr.settler import Settler
from services.odmr.supply import Supply
from services.odmr.surplus import surplus
from shared import metrics, tracing
from shared.domain.disposition import Broken, Delivered, Disposition, decide
from shared.domain.message import LeasedRecipient
from shared.domain.names import RecipientId
from shared.failpoint import failpoint
from shared.protocol.events import ContentWanted, Finished, Outcome, Ready, SenderEnded, Waiting
from shared.protocol.flight import Step, Transaction
from shared.protocol.notification import wants
from shared.protocol.sender import SmtpSender
from shared.protocol.window import Window
from shared.storage.engine import CONNECTION_LOST
from shared.storage.sessions import TurnedSession
from shared.storage.spool import ContentMissing, Lease
from shared.tls import Stream

log = structlog.get_logger()

#: Octets that gather before they are written: some TLS records, and one system call.
WRITE_AT: Final = 64 * 1024
#: Octets of content that are held back until the rest was taken, so that the lease is looked at before the message is whole.
LAST_OCTETS: Final = len(b"\r\n")
#: Seconds between two looks at the lease while a write waits.
LOOK_EVERY: Final = 1.0
NOT_TRUSTED: Final = "the lease is not trusted any more"


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
        says_ids: bool,
    ) -> None:
        self._stream = stream
        self._parts = parts
        self._record = record
        self._lease = lease
        self._line_a_record = line_a_record
        self._is_live = is_live
        self._says_ids = says_ids
        self._began = parts.clock.monotonic()
        self._mail = asyncio.Event()
        self._reading: asyncio.Task[bytes] | None = None
        self._sender = SmtpSender(parts.profile.hostname, may_pipeline=not line_a_record)
        self._window = Window()
        self._settler = Settler(parts.spool, lease)
        self._keeper = Keeper(
            parts.spool, lease, record.credential_id, record.domains, parts.terms, parts.clock, self._wake
        )
        self._supply = Supply(parts.spool, lease, record.domains, self._keeper, rows)
        self._in_flight: dict[int, list[LeasedRecipient]] = {}
        self._spans: dict[int, Span] = {}
        self._next_key = 0
        #: Why our own code failed on a message in flight.
        self._faults: dict[int, str] = {}
        self._replied: tuple[int, Step | None] = (-1, None)
        self._deadline = 0.0
        #: What must change before another message may be begun, where too many are unsettled.
        self._blocked_on: asyncio.Event | None = None
        self._messages = 0
        self._octets = 0
        self._why = ""

    async def run(self) -> None:
        """Sends until the queue is empty or the line is over; leaves no lease behind."""
        try:
            await self._parts.sessions.turned(self._record)
            await self._keeper.start()
            await self._supply.start()
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
            if self._sender.unsent >= WRITE_AT:
                await self._write_out()

    async def _finish(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._sender.abort(self._why)
        while not isinstance(event := self._sender.next_event(), Waiting):
            if isinstance(event, Finished):
                self._record_outcomes(event.key, event.outcomes)
        await self._supply.close()
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
        """Writes what is due, then waits for the server's words, or for room to begin another message."""
        if not await self._write_out():
            return
        waits_for = self._sender.waits_for
        now = self._parts.clock.monotonic()
        if self._replied != (self._sender.replies, waits_for):  # octets alone buy no time
            self._replied = (self._sender.replies, waits_for)
            self._deadline = now + (self._parts.limits.reply(waits_for) if waits_for else 0.0)
        room = asyncio.create_task(self._blocked_on.wait()) if self._blocked_on is not None else None
        timeout = max(0.0, self._deadline - now) if waits_for else None
        try:
            await asyncio.wait(
                {self._read(), room} if room else {self._read()}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            if room is not None:
                room.cancel()
        if self._read().done():
            self._take_data()
        elif room is not None and self._blocked_on is not None and self._blocked_on.is_set():
            self._sender.ask_again()
        elif waits_for:
            self._sender.abort(f"no reply within {self._parts.limits.reply(waits_for):.0f} s")

    def _read(self) -> "asyncio.Task[bytes]":
        """One read that goes on over many waits: a read that is cancelled may have taken octets with it."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._stream.read())
        return self._reading

    def _take_data(self) -> None:
        assert self._reading is not None
        self._sender.receive_data(self._reading.result())
        self._reading = None

    async def _write_out(self) -> bool:
        """Writes what is due, while replies are read. False when the line broke: what the peer said is read to its end."""
        if ends_a_message := self._sender.ends_a_message:
            failpoint("odmr.before_dot")
            if not self._keeper.is_trusted:  # this process may have stood still since it was begun
                self._sender.abort(NOT_TRUSTED)
                return False
        data = self._sender.data_to_send()
        if not data:
            return True
        self._read()
        try:
            async with asyncio.timeout(self._parts.limits.block):
                is_written = await self._write(data, ends_a_message=ends_a_message)
        except TimeoutError:
            self._sender.abort(f"a block was not taken within {self._parts.limits.block:.0f} s")
            return False
        except OSError:
            await self._read_to_the_end()
            return False
        if not is_written:
            self._sender.abort(NOT_TRUSTED)
            return False
        if self._sender.awaits_last_word:
            failpoint("odmr.after_dot")
        return True

    async def _write(self, data: bytes, *, ends_a_message: bool) -> bool:
        """False when the lease was lost while the peer did not take octets that end a message: it is left, not waited for."""
        write = self._stream.write_lines if self._line_a_record else self._stream.write
        writing = asyncio.ensure_future(write(data))
        try:
            while not (await asyncio.wait({writing}, timeout=LOOK_EVERY))[0]:
                if ends_a_message and not self._keeper.is_trusted:
                    return False
            await writing
        finally:
            writing.cancel()
        return True

    async def _read_to_the_end(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._parts.limits.block):
                while data := await self._read():
                    self._reading = None
                    self._sender.receive_data(data)
        self._sender.receive_data(b"")

    # --- messages -----------------------------------------------------------------------------------------------------

    async def _begin_next(self) -> None:
        """Begins a message if there is one and room for it; with nothing left and nothing in flight it rests or leaves."""
        self._mail.clear()
        group = None
        if not self._parts.stopping.is_set():
            if not self._settler.has_room(sum(len(rows) for rows in self._in_flight.values())):
                self._blocked_on = self._settler.change
                return
            self._blocked_on = None
            if not self._supply.is_at_hand and not await self._write_out():
                return
            if any(rows[0].is_suspect for rows in self._in_flight.values()):
                return
            group = await self._supply.next_group()
            if group is not None and group[0].is_suspect and self._in_flight:
                self._supply.put_back(group)
                return
        if group is not None:
            self._begin(group)
        elif not self._in_flight:
            if self._parts.stopping.is_set() or not self._may_rest():
                self._sender.quit()
            elif await self._write_out():
                await self._rest()

    def _begin(self, group: list[LeasedRecipient]) -> None:
        first = group[0]
        self._next_key += 1
        self._in_flight[self._next_key] = group
        self._spans[self._next_key] = tracing.begin(
            first.message_id, "odmr.deliver", SpanKind.CLIENT, [self._record.id]
        )
        failpoint("odmr.mail")
        in_flight = self._sender.in_flight
        self._sender.begin(
            Transaction(
                self._next_key,
                first.reverse_path,
                tuple(row.forward_path for row in group),
                first.size,
                first.has_eight_bit,
                first.sends_eight_bit,
                first.needs_smtputf8,
                first.mail_parameters,
                tuple(row.rcpt_parameters for row in group),
                first.message_id.hex if self._says_ids else "",
            )
        )
        if self._sender.in_flight > in_flight:
            self._window.sent(self._next_key, first.size, self._parts.clock.monotonic())

    def _wake(self, _cause: object = None) -> None:
        """Ends a rest."""
        self._mail.set()

    def _may_rest(self) -> bool:
        return self._is_live and self._keeper.is_trusted and self._rest_time() > 0

    def _rest_time(self) -> float:
        """Seconds until something must be said: that we are still there, or QUIT when the session has lasted enough."""
        left = self._began + self._parts.limits.live - self._parts.clock.monotonic()
        return min(self._parts.limits.noop, left)

    async def _rest(self) -> None:
        """Nothing is due: waits for mail, for the end, or until a sign of life is due."""
        self._supply.takes_back_off = False
        reading, is_woken = self._read(), False
        reading.add_done_callback(self._wake)
        try:
            async with asyncio.timeout(self._rest_time()):
                is_woken = await self._mail.wait()
        except TimeoutError:
            pass
        finally:
            reading.remove_done_callback(self._wake)
        if reading.done():
            self._take_data()
        elif not is_woken and self._may_rest():
            self._sender.noop()
        else:
            self._sender.ask_again()

    async def _send_content(self, key: int) -> None:
        """Says the content as it is read. Whatever goes wrong ends the session without a last octet."""
        failpoint("odmr.data")
        row = self._in_flight[key][0]
        said = 0
        try:
            async for chunk in self._supply.chunks(row):
                said += len(chunk)
                if said > row.size:
                    raise ContentMissing(f"message {row.message_id} is longer than {row.size} octets")
                is_last = said == row.size
                held = LAST_OCTETS if is_last and self._sender.unsent + len(chunk) >= WRITE_AT else 0
                self._sender.write_content(chunk[: len(chunk) - held])
                if self._sender.unsent >= WRITE_AT and not await self._write_out():
                    return
                if is_last and not self._keeper.may_start(row.domain):
                    self._sender.abort(NOT_TRUSTED)
                    return
                self._sender.write_content(chunk[len(chunk) - held :])
            if said != row.size:
                raise ContentMissing(f"message {row.message_id} ends after {said} of {row.size} octets")
            self._sender.end_content()
        except (*CONNECTION_LOST, asyncio.CancelledError):
            raise
        except Exception as error:  # whatever it is, this message must not stop those behind it for ever
            self._faults[key] = f"our own fault: {type(error).__name__}: {error}"
            log.exception("content.broken", message_id=str(row.message_id))
            self._sender.abort("our own content cannot be sent")

    def _record_outcomes(self, key: int, outcomes: tuple[Outcome, ...]) -> None:
        failpoint("odmr.replied")
        group = self._in_flight.pop(key)
        self._window.answered(key, self._parts.clock.monotonic())
        self._sender.window_octets = self._window.octets
        self._supply.forget(group[0].message_id)
        too_many = surplus(outcomes)
        if too_many:
            log.info("recipients.in_another_transaction", count=len(too_many))
            self._supply.put_back([group[i] for i in too_many])
        fault = self._faults.pop(key, None)
        rows = [
            (row, Broken(fault) if fault else self._disposition(row, outcome))
            for i, (row, outcome) in enumerate(zip(group, outcomes, strict=True))
            if i not in too_many
        ]
        if any(isinstance(disposition, Delivered) for _, disposition in rows):
            self._messages += 1
            self._octets += group[0].size
            metrics.DELIVERED_BYTES.inc(group[0].size)
        for row, disposition in rows:
            self._count(row, disposition)
            log.info(
                f"recipient.{type(disposition).__name__.lower()}",
                message_id=str(row.message_id),
                recipient_id=str(row.id),
            )
        results = ",".join(sorted({type(disposition).__name__.lower() for _, disposition in rows}))
        tracing.end(self._spans.pop(key), odmr__dispositions=results, odmr__session_id=str(self._record.id))
        self._settler.put([(RecipientId(row.id), disposition) for row, disposition in rows])

    def _count(self, row: LeasedRecipient, disposition: Disposition) -> None:
        metrics.ATTEMPTS.labels(type(disposition).__name__.lower()).inc()
        if isinstance(disposition, Delivered):
            age = row.age.total_seconds()
            is_pushed = age < row.leased_at - self._began
            waited = age + asyncio.get_running_loop().time() - row.leased_at
            metrics.QUEUE_LATENCY.labels("true" if is_pushed else "false").observe(waited)

    def _disposition(self, row: LeasedRecipient, outcome: Outcome) -> Disposition:
        return decide(
            outcome,
            attempts=row.attempts,
            age=row.age,
            fail_after=row.fail_after,
            holds_refused=row.holds_refused,
            owes_success=not self._sender.passes_dsn and wants("SUCCESS", row.rcpt_parameters),
        )
