"""Carries mail of our own to other domains' servers: leases what is due, finds the way, sends, settles. RFC 5321 4.5.4.1."""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from services.outbound.conversation import HandshakeFailed, NotReached, converse, open_line
from services.outbound.route import NO_HOP, Hop, NoRoute, Router
from shared.clock import Clock
from shared.domain.disposition import Deferred, Disposition, Failed, decide
from shared.domain.lease import LeaseTerms
from shared.domain.message import LeasedRecipient
from shared.domain.names import LeaseId, RecipientId, SessionId
from shared.domain.retry import back_off
from shared.failpoint import failpoint
from shared.protocol.events import Outcome
from shared.protocol.flight import Transaction
from shared.resolve import CannotResolve
from shared.storage.notices import SYSTEM_CUSTOMER
from shared.storage.spool import Lease, Spool
from shared.tls import Stream

log = structlog.get_logger()

#: Domains that are sent to at once, and messages of one connection. Postfix default_destination_concurrency_limit is 20.
MAX_DOMAINS: Final = 20
BATCH: Final = 50


@dataclass(slots=True)
class Carrier:
    """Runs rounds; a domain that is slow does not hold the others up."""

    spool: Spool
    router: Router
    clock: Clock
    hostname: str
    terms: LeaseTerms
    tls: ssl.SSLContext
    _running: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)

    async def carry(self) -> None:
        """Starts a delivery for each domain that has mail due and none on its way. Raises database errors."""
        for domain in [domain for domain, task in self._running.items() if task.done()]:
            del self._running[domain]
        room = MAX_DOMAINS - len(self._running)
        if room > 0:
            for domain in await self.spool.due_domains(SYSTEM_CUSTOMER, list(self._running), room):
                self._running[domain] = asyncio.create_task(self._carry_to(domain))

    async def close(self) -> None:
        """Ends what is on its way; what has no reply yet goes back to the queue."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _carry_to(self, domain: str) -> None:
        lease = Lease(LeaseId(self.clock.new_id()), SessionId(self.clock.new_id()), SYSTEM_CUSTOMER)
        try:
            await self.spool.open_lease(lease, self.terms.time, most=1 << 30)
            rows = await self.spool.lease(lease, [domain], BATCH, with_back_off=False)
            if rows:
                await _Batch(self, lease, rows).run(domain)
        except Exception as error:
            log.warning("carrying.failed", domain=domain, error=f"{type(error).__name__}: {error}")
        finally:
            with contextlib.suppress(Exception):
                await asyncio.shield(self.spool.close_lease(lease))


class _Batch:
    """Mail for one domain, on one lease that is renewed while it lasts."""

    def __init__(self, carrier: Carrier, lease: Lease, rows: Sequence[LeasedRecipient]) -> None:
        self._carrier = carrier
        self._lease = lease
        self._rows = list(rows)
        self._known: dict[RecipientId, Disposition] = {}
        self._trusted_until = carrier.clock.monotonic() + carrier.terms.trust.total_seconds()

    async def run(self, domain: str) -> None:
        keeping = asyncio.create_task(self._keep())
        try:
            await self._send_all(domain)
        finally:
            keeping.cancel()
            if self._known:
                failpoint("outbound.before_settle")
                await self._carrier.spool.settle(self._lease, list(self._known.items()))

    async def _send_all(self, domain: str) -> None:
        try:
            hops = await self._carrier.router.hops(domain)
        except NoRoute as error:
            self._all(Failed(str(error)))
            return
        except CannotResolve as error:
            self._defer(f"450 4.4.3 {error}")
            return
        stream, why = await self._first_that_opens(hops)
        if stream is None:
            self._defer(why)
            return
        try:
            messages = [await self._message(i, row) for i, row in enumerate(self._rows)]
            ended = await converse(stream, self._carrier.hostname, messages, self._heard, self._may_go_on)
            log.info("carrying.ended", domain=domain, messages=len(self._known), why=ended)
        finally:
            stream.close()

    async def _first_that_opens(self, hops: Sequence[Hop]) -> tuple[Stream | None, str]:
        why = NO_HOP
        for hop in hops:
            for tls in (self._carrier.tls, None):
                try:
                    return await open_line(hop.address, hop.port, self._carrier.hostname, tls=tls), ""
                except HandshakeFailed as error:
                    log.info("hop.without_tls", hop=hop.name, address=hop.address, why=str(error))
                except NotReached as error:
                    log.info("hop.not_reached", hop=hop.name, address=hop.address, why=str(error))
                    why = str(error.reply) if error.reply else f"450 4.4.1 {hop.name}: {error}"
                    break
        return None, why

    async def _message(self, key: int, row: LeasedRecipient) -> tuple[Transaction, bytes]:
        content = b"".join([chunk async for chunk in self._carrier.spool.content(row.message_id, row.size)])
        transaction = Transaction(
            key, row.reverse_path, (row.forward_path,), row.size, row.has_eight_bit, row.sends_eight_bit, row.needs_smtputf8
        )  # fmt: skip
        return transaction, content

    def _heard(self, key: int, outcome: Outcome) -> None:
        failpoint("outbound.replied")
        row = self._rows[key]
        decided = decide(outcome, attempts=row.attempts, age=timedelta.max, fail_after=row.fail_after)
        self._known[RecipientId(row.id)] = decided
        log.info(f"notice.{type(decided).__name__.lower()}", message_id=str(row.message_id), recipient_id=str(row.id))

    def _defer(self, why: str) -> None:
        for row in self._rows:
            self._known[RecipientId(row.id)] = Deferred(why, back_off(row.attempts))

    def _all(self, disposition: Disposition) -> None:
        for row in self._rows:
            self._known[RecipientId(row.id)] = disposition

    def _may_go_on(self) -> bool:
        return self._carrier.clock.monotonic() < self._trusted_until

    async def _keep(self) -> None:
        terms = self._carrier.terms
        while True:
            await asyncio.sleep(terms.renew_every.total_seconds())
            asked = self._carrier.clock.monotonic()
            with contextlib.suppress(Exception):
                if not await self._carrier.spool.extend(self._lease, terms.time):
                    self._trusted_until = 0.0
                    return
                self._trusted_until = asked + terms.trust.total_seconds()
