"""What time does to the spool: the rescuer, expiry, the reaper, orphans, the roll-up. Run by services/outbound.

Each is a named component and one statement, under an advisory lock of its own, so that replicas never do it twice at once.
"""

from dataclasses import dataclass
from typing import Final

from shared.domain.disposition import MAX_FAULTS
from shared.storage.engine import Pool

#: Rows that one round of a sweep takes; the rest waits for the next.
BATCH: Final = 1_000


@dataclass(frozen=True, slots=True)
class Sweep:
    """A name for the log, a lock, and the statement; it takes no arguments but the batch size where it names $1."""

    name: str
    lock: int
    statement: str


#: Gives back the rows of leases whose time is up. What was sent without our knowing may be sent again. A row that has lost
#: its lease twice is a suspect, sent alone from then on; it is held when it was lost MAX_FAULTS times and is once more.
RESCUER: Final = Sweep(
    "rescuer",
    366_0001,
    """
    WITH dead AS (
        DELETE FROM leases WHERE id IN (SELECT id FROM leases WHERE leased_until <= now() LIMIT $1)
        RETURNING id, session_id
    ), ended AS (
        UPDATE sessions s SET ended_at = now(), why_ended = 'its lease ran out'
        FROM dead WHERE s.id = dead.session_id AND s.ended_at IS NULL
        RETURNING s.id, s.customer_id, ceil(extract(epoch FROM now() - s.started_at))::bigint AS seconds
    ), counted AS (
        INSERT INTO usage (customer_id, domain_id, meter, amount)
        SELECT customer_id, '00000000-0000-0000-0000-000000000000', 'session_seconds', seconds FROM ended
    ), told_ended AS (
        INSERT INTO events (type, customer_id, session_id, detail)
        SELECT 'session.ended', customer_id, id, 'its lease ran out' FROM ended
    ), rescued AS (
        UPDATE recipients r SET lease_id = NULL, lost_leases = r.lost_leases + 1,
            state = CASE WHEN r.lost_leases >= :faults THEN 'held' ELSE 'queued' END,
            last_reply = CASE WHEN r.lost_leases >= :faults THEN 'our side died on it again and again'
                ELSE r.last_reply END
        FROM dead WHERE r.lease_id = dead.id RETURNING r.id, r.message_id, r.customer_id, r.state, r.last_reply
    ), told AS (
        INSERT INTO events (type, customer_id, message_id, recipient_id, detail)
        SELECT 'message.held', customer_id, message_id, id, last_reply FROM rescued WHERE state = 'held'
    )
    SELECT id FROM rescued
    """.replace(":faults", str(MAX_FAULTS)),
)

#: Ends what nobody fetched within the retention time of its domain or plan; our own notices after 5 days (RFC 5321 4.5.4.1).
#: What an operator holds until a time waits for that time. A DSN is due, so the content stays.
EXPIRY: Final = Sweep(
    "expiry",
    366_0002,
    """
    WITH old AS (
        SELECT r.id FROM recipients r LEFT JOIN domains d ON d.id = r.domain_id
            LEFT JOIN customers c ON c.id = r.customer_id LEFT JOIN plans p ON p.id = c.plan_id
        WHERE r.state IN ('queued', 'held') AND r.received_at < now() - interval '1 day'
            AND coalesce(r.held_until, '-infinity') < now()
            AND r.received_at < now() - make_interval(
                days => coalesce(d.retention_days, p.retention_days, CASE WHEN c.id IS NULL THEN 5 ELSE 14 END))
        LIMIT $1 FOR UPDATE OF r SKIP LOCKED
    ), expired AS (
        UPDATE recipients r SET state = 'expired', settled_at = now(), is_dsn_due = true FROM old WHERE r.id = old.id
        RETURNING r.id, r.message_id, r.customer_id, r.domain_id
    ), counted AS (
        INSERT INTO usage (customer_id, domain_id, meter, amount)
        SELECT customer_id, domain_id, 'messages_expired', count(*) FROM expired GROUP BY customer_id, domain_id
    ), told AS (
        INSERT INTO events (type, customer_id, message_id, recipient_id)
        SELECT 'message.expired', customer_id, message_id, id FROM expired
    )
    SELECT id FROM expired
    """,
)

#: Removes settled rows of which no DSN is due, and with the last row of a message its content.
REAPER: Final = Sweep(
    "reaper",
    366_0003,
    """
    WITH gone AS (
        DELETE FROM recipients WHERE id IN (
            SELECT id FROM recipients WHERE settled_at IS NOT NULL AND NOT is_dsn_due ORDER BY settled_at LIMIT $1)
        RETURNING id, message_id
    ), empty AS (
        SELECT DISTINCT message_id FROM gone g WHERE NOT EXISTS (
            SELECT FROM recipients r WHERE r.message_id = g.message_id AND r.id NOT IN (SELECT id FROM gone))
    ), no_content AS (
        DELETE FROM content c USING empty e WHERE c.message_id = e.message_id
    ), no_message AS (
        DELETE FROM messages m USING empty e WHERE m.id = e.message_id
    )
    SELECT id FROM gone
    """,
)

#: Removes content that was uploaded and never accepted.
ORPHANS: Final = Sweep(
    "orphans",
    366_0004,
    """
    WITH late AS (
        DELETE FROM uploads WHERE message_id IN (SELECT message_id FROM uploads WHERE expires_at <= now() LIMIT $1)
        RETURNING message_id
    ), no_content AS (
        DELETE FROM content c USING late l WHERE c.message_id = l.message_id
    )
    SELECT message_id FROM late
    """,
)

#: Folds usage rows into hour buckets.
ROLL_UP: Final = Sweep(
    "roll-up",
    366_0005,
    """
    WITH folded AS (
        DELETE FROM usage WHERE id IN (SELECT id FROM usage ORDER BY id LIMIT $1)
        RETURNING customer_id, domain_id, meter, date_trunc('hour', at, 'UTC') AS hour, amount
    )
    INSERT INTO usage_buckets (customer_id, domain_id, meter, hour, amount)
    SELECT customer_id, domain_id, meter, hour, sum(amount) FROM folded GROUP BY customer_id, domain_id, meter, hour
    ON CONFLICT (customer_id, domain_id, meter, hour) DO UPDATE SET amount = usage_buckets.amount + EXCLUDED.amount
    RETURNING hour
    """,
)

#: Forgets failures to authenticate that count no more (shared.domain.throttle).
FAILURES: Final = Sweep(
    "failures",
    366_0006,
    """
    DELETE FROM auth_failures WHERE door IN (
        SELECT door FROM auth_failures WHERE last_at < now() - interval '1 hour' LIMIT $1)
    RETURNING door
    """,
)

#: Queues again what an operator held until a time that is over.
RELEASE: Final = Sweep(
    "release",
    366_0007,
    """
    WITH over AS (
        SELECT id FROM recipients WHERE state = 'held' AND held_until <= now() LIMIT $1 FOR UPDATE SKIP LOCKED
    ), released AS (
        UPDATE recipients r SET state = 'queued', held_until = NULL, lost_leases = 0 FROM over WHERE r.id = over.id
        RETURNING r.id, r.message_id, r.customer_id
    ), told AS (
        INSERT INTO events (type, customer_id, message_id, recipient_id, detail)
        SELECT 'message.released', customer_id, message_id, id, 'the hold is over' FROM released
    )
    SELECT id FROM released
    """,
)

#: Forgets notices of recipients that have left the spool long ago: no retention time is longer than 60 days.
NOTICES: Final = Sweep(
    "notices",
    366_0008,
    """
    DELETE FROM notices WHERE (recipient_id, kind) IN (
        SELECT recipient_id, kind FROM notices WHERE made_at < now() - interval '61 days' LIMIT $1)
    RETURNING recipient_id
    """,
)

#: Deletes what is kept for customers that were terminated long enough ago. What a session has leased is next time's.
PURGE: Final = Sweep(
    "purge",
    366_0009,
    """
    WITH old AS (
        SELECT kept.id FROM customers c JOIN domains d ON d.customer_id = c.id, LATERAL (
            SELECT r.id FROM recipients r WHERE r.domain_id = d.id AND r.state IN ('queued', 'held')
            LIMIT $1 FOR UPDATE SKIP LOCKED) AS kept
        WHERE c.purge_at <= now() LIMIT $1
    ), deleted AS (
        UPDATE recipients r SET state = 'deleted', settled_at = now(), is_dsn_due = false FROM old WHERE r.id = old.id
        RETURNING r.id, r.message_id, r.customer_id
    ), told AS (
        INSERT INTO events (type, customer_id, message_id, recipient_id, detail)
        SELECT 'message.deleted', customer_id, message_id, id, 'its customer was terminated' FROM deleted
    )
    SELECT id FROM deleted
    """,
)

#: Then its domains may be hosted for others, and the customer is left alone.
PURGED: Final = Sweep(
    "purged",
    366_0010,
    """
    WITH done AS (
        SELECT c.id FROM customers c WHERE c.purge_at <= now() AND NOT EXISTS (
            SELECT FROM domains d, LATERAL (
                SELECT FROM recipients r WHERE r.domain_id = d.id AND r.state IN ('queued', 'held', 'leased') LIMIT 1) AS kept
            WHERE d.customer_id = c.id) LIMIT $1
    ), free AS (
        DELETE FROM domains d USING done WHERE d.customer_id = done.id RETURNING d.customer_id, d.name
    ), told AS (
        INSERT INTO events (type, customer_id, detail) SELECT 'domain.removed', customer_id, name FROM free
    )
    UPDATE customers c SET purge_at = NULL FROM done WHERE c.id = done.id RETURNING c.id
    """,
)

#: Tells of customers that were not connected for as long as they are expected to be.
ABSENT: Final = Sweep(
    "absent",
    366_0011,
    """
    WITH late AS (
        SELECT c.id FROM customers c
        WHERE c.expected_every_seconds IS NOT NULL AND c.absent_since IS NULL AND c.state = 'active'
            AND NOT EXISTS (SELECT FROM leases l WHERE l.customer_id = c.id)
            AND coalesce((SELECT s.ended_at FROM sessions s WHERE s.customer_id = c.id ORDER BY s.started_at DESC LIMIT 1),
                c.created_at) < now() - make_interval(secs => c.expected_every_seconds)
        LIMIT $1
    ), absent AS (
        UPDATE customers c SET absent_since = now() FROM late WHERE c.id = late.id RETURNING c.id
    ), told AS (
        INSERT INTO events (type, customer_id) SELECT 'customer.absent', id FROM absent
    )
    SELECT id FROM absent
    """,
)

#: Resumes customers whose suspension is over.
RESUME: Final = Sweep(
    "resume",
    366_0014,
    """
    WITH over AS (
        SELECT id FROM customers WHERE resume_at <= now() AND state = 'suspended' LIMIT $1 FOR UPDATE SKIP LOCKED
    ), resumed AS (
        UPDATE customers c SET state = 'active', suspended_for = '', receiving = 'hold', resume_at = NULL
        FROM over WHERE c.id = over.id RETURNING c.id
    ), told AS (
        INSERT INTO events (type, customer_id, detail) SELECT 'customer.resumed', id, 'the suspension is over' FROM resumed
    )
    SELECT id FROM resumed
    """,
)

#: Forgets refusals that were learned long enough ago: the recipient may be there by now.
REFUSALS: Final = Sweep(
    "refusals",
    366_0015,
    """
    DELETE FROM refused_recipients WHERE (domain_id, local_part) IN (
        SELECT domain_id, local_part FROM refused_recipients WHERE until <= now() LIMIT $1)
    RETURNING domain_id
    """,
)

#: Forgets answers that were kept for repeated requests (shared.storage.idempotency).
ANSWERS: Final = Sweep(
    "answers",
    366_0012,
    """
    DELETE FROM idempotency_keys WHERE (api_key_id, key) IN (
        SELECT api_key_id, key FROM idempotency_keys WHERE begun_at < now() - interval '72 hours' LIMIT $1)
    RETURNING key
    """,
)

#: Forgets events and deliveries of them after 30 days, as Stripe does.
EVENTS: Final = Sweep(
    "events",
    366_0013,
    """
    WITH deliveries AS (
        DELETE FROM webhook_deliveries WHERE (endpoint_id, event_id) IN (SELECT endpoint_id, event_id
            FROM webhook_deliveries WHERE event_at < now() - interval '30 days' LIMIT $1)
    )
    DELETE FROM events WHERE (at, id) IN (SELECT at, id FROM events WHERE at < now() - interval '30 days' LIMIT $1)
    RETURNING id
    """,
)

ALL: Final = (
    RESCUER, RELEASE, EXPIRY, REAPER, ORPHANS, ROLL_UP, FAILURES, NOTICES, PURGE, PURGED, ABSENT, RESUME, REFUSALS, ANSWERS,
    EVENTS,
)  # fmt: skip


class Sweeper:
    """Runs sweeps."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self, sweep: Sweep) -> int:
        """One round; gives how many rows it moved, 0 also when another replica has the lock."""
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", sweep.lock):
                return 0
            return len(await connection.fetch(sweep.statement, BATCH))
