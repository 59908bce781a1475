"""What inbound asks at RCPT: is this domain ours, whose is it, and does it know the recipient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.domain.names import CustomerId, DomainId, DomainName
from shared.storage.engine import Pool
from shared.storage.gathering import Gathered

#: Recipients that one statement looks for.
MOST: Final = 200

#: For each name and local part that are hosted, and the position at which they were asked for. RFC 5321 4.5.1: postmaster is
#: known everywhere. Scalar subqueries and no EXISTS: those could be hashed, each whole table for a few rows of it.
_FIND: Final = """
SELECT a.position, d.id, d.customer_id, d.name, d.max_messages, d.max_bytes, p.max_messages AS plan_max_messages,
    p.max_bytes AS plan_max_bytes, p.max_message_bytes AS plan_max_message_bytes,
    p.max_messages_per_hour AS plan_max_per_hour, c.receiving, lower(a.local_part) = 'postmaster' OR (
        (d.unknown_recipients = 'accept' OR (
            SELECT true FROM domain_recipients r WHERE r.domain_id = d.id AND r.local_part = lower(a.local_part)) IS NOT NULL)
        AND (SELECT true FROM refused_recipients f
            WHERE f.domain_id = d.id AND f.local_part = lower(a.local_part) AND f.until > now()) IS NULL
    ) AS knows
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS a(name, local_part, position) JOIN domains d ON d.name = lower(a.name)
    JOIN customers c ON c.id = d.customer_id LEFT JOIN plans p ON p.id = c.plan_id
WHERE c.state <> 'terminated' AND (NOT $3 OR d.verified_at IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class HostedDomain:
    """A domain that we take mail for. `knows` says whether it takes mail for the local part that was asked for.

    `max_messages` and `max_bytes` bound what may wait for it, those of the plan for all domains of the customer; None for no
    limit. `plan_max_message_bytes` bounds one message, `plan_max_per_hour` what comes in an hour. `receiving`: hold mail, or
    tempfail or reject it while the customer is suspended.
    """

    id: DomainId
    customer_id: CustomerId
    name: DomainName
    knows: bool
    max_messages: int | None = None
    max_bytes: int | None = None
    plan_max_messages: int | None = None
    plan_max_bytes: int | None = None
    plan_max_message_bytes: int | None = None
    plan_max_per_hour: int | None = None
    receiving: str = "hold"


class HostedDomains:
    """Looks domains up. Errors of the database pass through: the sender hears 451."""

    def __init__(self, pool: Pool, *, only_verified: bool = False) -> None:
        self._pool = pool
        self._only_verified = only_verified
        self._gathered = Gathered(self._find, most=MOST)

    async def find(self, name: str, local_part: str) -> HostedDomain | None:
        """The domain, or None when we do not host it, its customer is terminated, or it must be verified and is not."""
        return await self._gathered.answer((name, local_part))

    async def _find(self, asked: Sequence[tuple[str, str]]) -> list[HostedDomain | None]:
        rows = await self._pool.fetch(
            _FIND, [name for name, _ in asked], [local_part for _, local_part in asked], self._only_verified
        )
        found: list[HostedDomain | None] = [None] * len(asked)
        for row in rows:
            columns = dict(row)
            position = columns.pop("position")
            found[position - 1] = HostedDomain(**columns)
        return found

    async def domains_of(self, customer_id: CustomerId) -> list[DomainId]:
        """Every domain of a customer."""
        return [
            row["id"] for row in await self._pool.fetch("SELECT id FROM domains WHERE customer_id = $1", customer_id)
        ]

    async def received_this_hour(self, customer_id: CustomerId) -> int:
        """Messages that were taken for all domains of a customer since the hour began."""
        count = await self._pool.fetchval(
            "SELECT coalesce((SELECT sum(amount) FROM usage_buckets WHERE customer_id = $1 AND meter = 'messages_received' "
            "AND hour = date_trunc('hour', now(), 'UTC')), 0) + coalesce((SELECT sum(amount) FROM usage "
            "WHERE customer_id = $1 AND meter = 'messages_received' AND at >= date_trunc('hour', now(), 'UTC')), 0)",
            customer_id,
        )
        return int(count)

    async def waiting(self, domain_ids: Sequence[DomainId], most: int | None) -> tuple[int, int]:
        """Rows and octets that wait for these domains; no more than `most` rows are looked at."""
        row = await self._pool.fetchrow(
            "SELECT count(*), coalesce(sum(size), 0)::bigint AS octets FROM (SELECT size FROM recipients "
            "WHERE domain_id = ANY($1::uuid[]) AND state IN ('queued', 'leased', 'held') LIMIT $2) AS waits",
            list(domain_ids),
            most,
        )
        assert row is not None
        return row["count"], row["octets"]
