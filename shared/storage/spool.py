"""The queue as a session sees it: lease, renew, settle, release. One statement a move.

A lease is one row a session. The database's clock says how long it lasts; a row of the queue names its lease, so a lease
that was lost fences whoever still holds it. A wake-up is only a hint; what is queued stands here.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, assert_never

from shared.domain.disposition import (
    MAX_FAULTS,
    SUSPECT_FROM,
    Broken,
    Deferred,
    Delivered,
    Disposition,
    Failed,
    Held,
    Uncertain,
)
from shared.domain.lease import MAX_SESSIONS
from shared.domain.message import LeasedRecipient
from shared.domain.names import CredentialId, CustomerId, LeaseId, MessageId, RecipientId, SessionId
from shared.domain.retry import back_off
from shared.failpoint import failpoint
from shared.storage.engine import Pool
from shared.storage.place import Place
from shared.storage.renewals import Renewals

#: Begins a session's lease, unless the customer has as many as its plan or we allow. Two at once may both be the last.
_OPEN: Final = """
INSERT INTO leases (id, session_id, customer_id, leased_until)
SELECT $1, $2, $3, now() + make_interval(secs => $4)
WHERE (SELECT count(*) FROM leases WHERE customer_id = $3 AND leased_until > now()) < coalesce(
    (SELECT p.max_sessions FROM customers c JOIN plans p ON p.id = c.plan_id WHERE c.id = $3), $5)
RETURNING true
"""

#: Leases the next due rows of a customer, oldest first, and skips what another session has. With $7 also rows in
#: back-off that this session has not tried: an explicit ATRN overrides back-off. $4 keeps the index scan off the dead.
_LEASE: Final = """
WITH due AS (
    SELECT r.id FROM recipients r
    WHERE r.customer_id = $3 AND r.state = 'queued' AND r.next_at >= $4 AND r.domain = ANY($5::text[])
        AND r.lost_leases < :suspect
        AND (r.next_at <= now() OR ($7 AND r.last_session_id IS DISTINCT FROM $2))
        AND EXISTS (SELECT FROM leases WHERE id = $1 AND leased_until > now())
    ORDER BY r.next_at, r.id LIMIT $6
    FOR UPDATE SKIP LOCKED
), leased AS (
    UPDATE recipients r SET state = 'leased', lease_id = $1, last_session_id = $2 FROM due WHERE r.id = due.id
    RETURNING r.id, r.message_id, r.domain_id, r.domain, r.forward_path, r.attempts, now() - r.received_at AS age, r.next_at,
        r.dsn_parameters AS rcpt_parameters, r.lost_leases >= :suspect AS is_suspect
)
SELECT l.*, m.reverse_path, m.size, m.has_eight_bit, m.needs_smtputf8, m.dsn_parameters AS mail_parameters,
    coalesce(d.eight_bit = 'send', true) AS sends_eight_bit, coalesce(d.when_refused = 'hold', false) AS holds_refused,
    make_interval(secs => coalesce(d.fail_after_seconds, 0)) AS fail_after
FROM leased l JOIN messages m ON m.id = l.message_id LEFT JOIN domains d ON d.id = l.domain_id
ORDER BY l.next_at, l.id
""".replace(":suspect", str(SUSPECT_FROM))

#: The same of suspects alone, by an index of their own.
_LEASE_SUSPECT: Final = _LEASE.replace(" AND r.lost_leases <", " AND r.lost_leases >=")

#: Domains by their priority, the highest first. What is no hosted domain, as those of strangers, is of the lowest.
_TIERS: Final = """
SELECT array_agg(i.name ORDER BY i.name) AS names FROM unnest($1::text[]) AS i(name) LEFT JOIN domains d ON d.name = i.name
GROUP BY coalesce(d.priority, 0) ORDER BY coalesce(d.priority, 0) DESC
"""

#: Ends rows with their dispositions. Delivered settles any row that is not terminal, even one whose lease was lost: it
#: is a fact. All else is fenced by the lease. Counts usage and tells events for what it changed, and where its domain wants
#: that, remembers who is not known there: RFC 3463 5.1.1 to 5.1.6.
_SETTLE: Final = """
WITH input AS (
    SELECT * FROM unnest($2::uuid[], $3::text[], $4::float8[], $5::text[], $6::boolean[], $7::boolean[], $9::boolean[],
        $10::boolean[]) AS i(id, state, delay, reply, uncertain, tried, owes_dsn, our_fault)
), changed AS (
    UPDATE recipients r SET
        state = CASE WHEN i.our_fault AND r.lost_leases >= $11 THEN 'held' ELSE i.state END,
        lost_leases = CASE WHEN i.our_fault THEN r.lost_leases + 1 WHEN i.tried THEN 0 ELSE r.lost_leases END,
        lease_id = NULL, last_reply = i.reply,
        attempts = r.attempts + i.tried::int, is_uncertain = r.is_uncertain OR i.uncertain,
        next_at = CASE WHEN i.delay > 0 THEN now() + make_interval(secs => i.delay) ELSE r.next_at END,
        settled_at = CASE WHEN i.state IN ('delivered', 'failed') THEN now() END,
        is_dsn_due = i.owes_dsn
    FROM input i
    WHERE r.id = i.id
        AND (r.lease_id = $1 OR (i.state = 'delivered' AND r.state NOT IN ('delivered', 'failed', 'expired', 'deleted')))
    RETURNING r.id, r.message_id, r.customer_id, r.domain_id, r.size, r.state, r.last_reply, i.tried,
        left(r.forward_path, -1 - length(r.domain)) AS local_part
), counted AS (
    INSERT INTO usage (customer_id, domain_id, meter, amount)
    SELECT customer_id, domain_id, meter, sum(amount)
    FROM changed, LATERAL (VALUES ('messages_delivered', 1::bigint), ('bytes_delivered', size)) AS d(meter, amount)
    WHERE state = 'delivered'
    GROUP BY customer_id, domain_id, meter
), learned AS (
    INSERT INTO refused_recipients (domain_id, local_part, reply, until)
    SELECT DISTINCT ON (d.id, lower(c.local_part)) d.id, lower(c.local_part), c.last_reply,
        now() + make_interval(secs => d.learn_refusals_seconds)
    FROM changed c JOIN domains d ON d.id = c.domain_id
    WHERE c.state = 'failed' AND d.learn_refusals_seconds > 0 AND c.last_reply ~ '^55[0-9] 5\\.1\\.[1-6] '
        AND lower(c.local_part) <> 'postmaster'
    ON CONFLICT (domain_id, local_part) DO UPDATE SET reply = EXCLUDED.reply, until = EXCLUDED.until
), told AS (
    INSERT INTO events (type, customer_id, message_id, recipient_id, session_id, detail)
    SELECT CASE state WHEN 'queued' THEN 'message.deferred' ELSE 'message.' || state END,
        customer_id, message_id, id, $8, last_reply
    FROM changed WHERE tried
)
SELECT id FROM changed
"""

#: Gives back what a lease holds, in its place in the queue, and ends the lease.
_CLOSE: Final = """
WITH ended AS (DELETE FROM leases WHERE id = $1)
UPDATE recipients SET state = 'queued', lease_id = NULL WHERE lease_id = $1
"""

#: Until when another session's lease holds mail of these domains; NULL when none does.
_HELD_BY_OTHERS: Final = """
SELECT max(l.leased_until) - now() FROM leases l
WHERE l.customer_id = $1 AND l.id <> $2
    AND EXISTS (SELECT FROM recipients r WHERE r.lease_id = l.id AND r.domain = ANY($3::text[]))
"""


#: What waits for a customer in these domains, leased rows included: a message of several recipients counts once.
_COUNT: Final = """
SELECT count(DISTINCT message_id) AS messages, coalesce(sum(size), 0)::bigint AS octets FROM recipients
WHERE customer_id = $1 AND domain = ANY($2::text[]) AND state IN ('queued', 'leased')
"""

#: Of these customers those that have something due.
_DUE: Final = """
SELECT c.id FROM unnest($1::uuid[]) AS c(id)
WHERE EXISTS (SELECT FROM recipients r WHERE r.customer_id = c.id AND r.state = 'queued' AND r.next_at <= now())
"""


_EXTEND: Final = """
UPDATE leases SET leased_until = now() + make_interval(secs => $2) WHERE id = $1 AND leased_until > now() RETURNING true
"""

_DUE_DOMAINS: Final = """
SELECT domain FROM recipients WHERE customer_id = $1 AND state = 'queued' AND next_at <= now() AND domain <> ALL($2::text[])
GROUP BY domain ORDER BY min(next_at) LIMIT $3
"""


@dataclass(slots=True)
class Lease:
    """One session's right to send. `tiers` are the domains asked for by their priority, read anew after each renewal;
    `places` is where in the queue of each tier this session is."""

    id: LeaseId
    session_id: SessionId
    customer_id: CustomerId
    places: dict[tuple[str, ...], Place] = field(default_factory=dict)
    tiers: dict[tuple[str, ...], list[tuple[str, ...]]] = field(default_factory=dict)


class LeaseLost(Exception):
    """The lease has run out, or its customer or credential was taken away: start nothing more."""


class ContentMissing(Exception):
    """A row of the queue has no content: a fault of ours; the message stays."""


class Spool:
    """Everything that a session does with the queue."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._renewals = Renewals(pool)

    async def open_lease(self, lease: Lease, time: timedelta, most: int = MAX_SESSIONS) -> bool:
        """Begins a lease that holds nothing yet; False when the customer has `most` of them already."""
        args = (lease.id, lease.session_id, lease.customer_id, time.total_seconds(), most)
        return bool(await self._pool.fetchval(_OPEN, *args))

    async def lease(
        self, lease: Lease, domains: Sequence[str], limit: int, *, with_back_off: bool
    ) -> list[LeasedRecipient]:
        """The next rows in order, at most `limit`, of the domains with the highest priority; [] when none is due."""
        asked, leased = tuple(domains), []
        if asked not in lease.tiers:
            lease.tiers[asked] = [tuple(row["names"]) for row in await self._pool.fetch(_TIERS, list(asked))]
        for tier in lease.tiers[asked]:
            if leased := await self._lease_of(lease, tier, limit, with_back_off):
                break
        failpoint("odmr.leased")
        return leased

    async def _lease_of(
        self, lease: Lease, domains: tuple[str, ...], limit: int, with_back_off: bool
    ) -> list[LeasedRecipient]:
        place, clock = lease.places.setdefault(domains, Place()), asyncio.get_running_loop()
        for look in place.looks(clock.time(), limit):
            rows = await self._pool.fetch(
                _LEASE_SUSPECT if look.are_suspects else _LEASE,
                lease.id, lease.session_id, lease.customer_id, look.since, list(domains), look.most, with_back_off,
            )  # fmt: skip
            now = clock.time()
            place.looked(look, now, rows[-1]["next_at"] if rows else None)
            if rows:
                return [LeasedRecipient(**dict(row), leased_at=now) for row in rows]
        return []

    async def renew(self, lease: Lease, time: timedelta, credential_id: CredentialId) -> frozenset[str]:
        """Makes the lease last `time` from now; gives the domains that the customer still has. Raises LeaseLost."""
        lease.tiers.clear()
        domains = await self._renewals.renew(lease.id, time.total_seconds(), credential_id)
        if domains is None:
            raise LeaseLost
        return domains

    async def extend(self, lease: Lease, time: timedelta) -> bool:
        """The same for the system's own mail, which no credential fetches: False when the lease is lost."""
        return bool(await self._pool.fetchval(_EXTEND, lease.id, time.total_seconds()))

    async def due_domains(self, customer_id: CustomerId, but: Sequence[str], limit: int) -> list[str]:
        """Domains for which mail is due, those that wait longest first."""
        return [row["domain"] for row in await self._pool.fetch(_DUE_DOMAINS, customer_id, list(but), limit)]

    async def settle(
        self, lease: Lease, dispositions: Sequence[tuple[RecipientId, Disposition]]
    ) -> frozenset[RecipientId]:
        """Commits what became of these rows; gives those that it changed (the rest was settled or fenced)."""
        columns = list(zip(*(_row(one, disposition) for one, disposition in dispositions), strict=True))
        first, last = columns[:6], columns[6:]
        rows = await self._pool.fetch(
            _SETTLE, lease.id, *map(list, first), lease.session_id, *map(list, last), MAX_FAULTS
        )
        return frozenset(RecipientId(row["id"]) for row in rows)

    async def close_lease(self, lease: Lease) -> None:
        """Ends the lease; what it still holds is queued as before."""
        await self._pool.execute(_CLOSE, lease.id)

    async def held_by_others(self, lease: Lease, domains: Sequence[str]) -> timedelta | None:
        """How long another session's lease may still hold mail of these domains, or None."""
        held: timedelta | None = await self._pool.fetchval(_HELD_BY_OTHERS, lease.customer_id, lease.id, list(domains))
        return held

    async def count(self, customer_id: CustomerId, domains: Sequence[str]) -> tuple[int, int]:
        """Messages and octets that wait."""
        row = await self._pool.fetchrow(_COUNT, customer_id, list(domains))
        assert row is not None
        return row["messages"], row["octets"]

    async def with_mail(self, customers: Sequence[CustomerId]) -> list[CustomerId]:
        """Of these customers those whose mail is due: one statement for a whole process."""
        return [CustomerId(row["id"]) for row in await self._pool.fetch(_DUE, list(customers))]

    async def content(self, message_id: MessageId, size: int) -> AsyncIterator[bytes]:
        """The chunks of a message of `size` octets, in order, one in memory at a time. Raises ContentMissing."""
        seq = 0
        while size > 0:
            chunk: bytes | None = await self._pool.fetchval(
                "SELECT bytes FROM content WHERE message_id = $1 AND seq = $2", message_id, seq
            )
            if chunk is None:
                raise ContentMissing(f"message {message_id} lacks chunk {seq}")
            yield chunk
            seq += 1
            size -= len(chunk)

    async def small_contents(self, message_ids: Sequence[MessageId]) -> dict[MessageId, bytes]:
        """First chunks of many messages in one statement: the whole content of those within one chunk."""
        rows = await self._pool.fetch(
            "SELECT message_id, bytes FROM content WHERE message_id = ANY($1::uuid[]) AND seq = 0", list(message_ids)
        )
        return {MessageId(row["message_id"]): row["bytes"] for row in rows}


def _row(one: RecipientId, disposition: Disposition) -> tuple[RecipientId, str, float, str, bool, bool, bool, bool]:
    """Id, state, delay in seconds, reply, uncertain, tried, a DSN is owed, a fault of ours."""
    match disposition:
        case Delivered(reply, owes_dsn):
            return one, "delivered", 0.0, reply, False, True, owes_dsn, False
        case Deferred(reply, delay):
            return one, "queued", delay.total_seconds(), reply, False, bool(delay), False, False
        case Failed(reply):
            return one, "failed", 0.0, reply, False, True, True, False
        case Uncertain(reason):
            return one, "queued", 0.0, reason, True, True, False, False
        case Held(reason):
            return one, "held", 0.0, reason, False, True, False, False
        case Broken(reason):
            return one, "queued", back_off(0).total_seconds(), reason, False, True, False, True
        case _:
            assert_never(disposition)
