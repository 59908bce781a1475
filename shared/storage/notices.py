"""Who must be told what: the recipients of whom a sender is owed a notice, and the notice stored as mail of our own.

A notice is a message of the system's queue. It is written in the transaction that marks its recipients as told, and unique
(recipient, kind) makes it once; what is not owed (null reverse-path, NOTIFY=NEVER) is marked without a message.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from shared.domain.dsn import Kind
from shared.domain.message import Message
from shared.domain.names import CustomerId, DomainId, MessageId, RecipientId
from shared.storage.engine import Pool

#: Whose the system's own mail is. No customer and no domain has this id; operators see its messages.
SYSTEM_CUSTOMER: Final = CustomerId(UUID(int=0))
SYSTEM_DOMAIN: Final = DomainId(UUID(int=0))
#: The advisory lock under which notices are made: one replica at a time.
LOCK: Final = 366_0101

#: Recipients of whom a notice is due, those of one message together. $2 is how many notices one reverse-path gets in an
#: hour: what is beyond that waits, so that a flood of forged mail does not become a flood of ours. LATERAL with a LIMIT reads
#: by the index of each domain; a join would read every row that there is.
_DUE: Final = """
WITH hour AS (
    SELECT reverse_path, count(DISTINCT dsn_id) AS told FROM notices
    WHERE dsn_id IS NOT NULL AND made_at > now() - interval '1 hour' GROUP BY reverse_path
), due AS (
    (SELECT r.id, CASE r.state WHEN 'delivered' THEN 'relayed' ELSE 'failed' END AS kind
     FROM recipients r JOIN messages m ON m.id = r.message_id LEFT JOIN hour USING (reverse_path)
     WHERE r.is_dsn_due AND coalesce(hour.told, 0) < $2
     ORDER BY r.settled_at LIMIT $1)
    UNION ALL
    (SELECT late.id, 'delayed' FROM domains d, LATERAL (
        SELECT r.id FROM recipients r
        WHERE r.domain_id = d.id AND r.state IN ('queued', 'leased', 'held')
            AND r.received_at < now() - make_interval(secs => d.delay_notice_seconds)
            AND NOT EXISTS (SELECT FROM notices n WHERE n.recipient_id = r.id AND n.kind = 'delayed')
        LIMIT $1) AS late
     WHERE d.delay_notice_seconds > 0 LIMIT $1)
)
SELECT due.kind, r.id, r.message_id, r.customer_id, r.forward_path, r.dsn_parameters, r.state, r.last_reply, r.settled_at,
    m.reverse_path, m.dsn_parameters AS mail_parameters, m.received_at, coalesce(hour.told, 0) AS told_in_hour
FROM due JOIN recipients r ON r.id = due.id JOIN messages m ON m.id = r.message_id LEFT JOIN hour USING (reverse_path)
ORDER BY r.message_id, due.kind, r.id
"""

_TOLD: Final = """
WITH told AS (
    INSERT INTO notices (recipient_id, kind, message_id, reverse_path, dsn_id)
    SELECT id, $2, $3, $4, $5 FROM unnest($1::uuid[]) AS r(id) ON CONFLICT DO NOTHING
    RETURNING recipient_id
), done AS (
    UPDATE recipients SET is_dsn_due = false WHERE id = ANY($1::uuid[]) AND $2 <> 'delayed'
), events AS (
    INSERT INTO events (type, customer_id, message_id, recipient_id, detail)
    SELECT 'dsn.' || $2, r.customer_id, r.message_id, r.id, $5::uuid::text
    FROM told JOIN recipients r ON r.id = told.recipient_id WHERE $5::uuid IS NOT NULL
)
SELECT recipient_id FROM told
"""

_STORE: Final = """
WITH stored AS (
    INSERT INTO messages (id, reverse_path, size, sha256, has_eight_bit, needs_smtputf8, helo, peer, received_at)
    VALUES ($1, '', $2, $3, $4, $5, '', '', now())
), kept AS (
    INSERT INTO content (message_id, seq, bytes) VALUES ($1, 0, $6)
), told AS (
    INSERT INTO events (type, customer_id, message_id, recipient_id, detail) VALUES ('message.received', $8, $1, $7, $11)
)
INSERT INTO recipients (id, message_id, customer_id, domain_id, domain, forward_path, size, received_at, next_at)
VALUES ($7, $1, $8, $9, $10, $11, $2, now(), now())
"""


@dataclass(frozen=True, slots=True)
class Due:
    """One recipient of whom its sender is to be told."""

    kind: Kind
    id: RecipientId
    message_id: MessageId
    customer_id: CustomerId
    forward_path: str
    dsn_parameters: str
    state: str
    last_reply: str
    settled_at: datetime | None
    reverse_path: str
    mail_parameters: str
    received_at: datetime
    #: Notices that its reverse-path has got in the last hour.
    told_in_hour: int


class Notices:
    """One round of telling, on one connection in one transaction."""

    def __init__(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        self._connection = connection

    async def due(self, limit: int, by_hour: int) -> list[Due]:
        """Those that are due, neighbours of one message and kind together."""
        rows = await self._connection.fetch(_DUE, limit, by_hour)
        return [Due(Kind(row["kind"]), **{k: v for k, v in row.items() if k != "kind"}) for row in rows]

    async def made_since(self, ago: timedelta) -> int:
        """Notices of the last minutes or hours, for the cap on all of them."""
        return int(
            await self._connection.fetchval(
                "SELECT count(DISTINCT dsn_id) FROM notices WHERE dsn_id IS NOT NULL AND made_at > now() - $1::interval",
                ago,
            )
        )

    async def first_chunk(self, message_id: MessageId) -> bytes:
        """The beginning of a message: all of its header section, which is shorter than a chunk; b"" when it is gone."""
        chunk: bytes | None = await self._connection.fetchval(
            "SELECT bytes FROM content WHERE message_id = $1 AND seq = 0", message_id
        )
        return chunk or b""

    async def tell(self, dues: Sequence[Due], notice: Message | None) -> None:
        """Marks recipients of one message and kind as told, with the notice, or without one where none is owed."""
        first = dues[0]
        ids, dsn_id = [due.id for due in dues], notice.id if notice else None
        async with self._connection.transaction():
            told = await self._connection.fetch(
                _TOLD, ids, first.kind.value, first.message_id, first.reverse_path, dsn_id
            )
            if told and notice is not None:
                to = notice.recipients[0]
                await self._connection.execute(
                    _STORE, notice.id, notice.size, notice.sha256, notice.has_eight_bit, notice.needs_smtputf8,
                    notice.content, to.id, to.customer_id, to.domain_id, to.domain, to.forward_path,
                )  # fmt: skip


@asynccontextmanager
async def one_round(pool: Pool) -> AsyncIterator[Notices | None]:
    """What the body does is committed at its end; None when another replica is at it."""
    async with pool.acquire() as connection, connection.transaction():
        is_ours = await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK)
        yield Notices(connection) if is_ours else None
