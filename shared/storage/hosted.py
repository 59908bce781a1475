"""What inbound asks at RCPT: is this domain ours, whose is it, and does it know the recipient."""

from dataclasses import dataclass

from shared.domain.names import CustomerId, DomainId, DomainName
from shared.storage.engine import Pool


@dataclass(frozen=True, slots=True)
class HostedDomain:
    """A domain that we take mail for. `knows` says whether it takes mail for the local part that was asked for.

    `max_messages` and `max_bytes` bound what may wait for it; None for no limit.
    """

    id: DomainId
    customer_id: CustomerId
    name: DomainName
    knows: bool
    max_messages: int | None = None
    max_bytes: int | None = None


class HostedDomains:
    """Looks domains up. Errors of the database pass through: the sender hears 451."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, name: str, local_part: str) -> HostedDomain | None:
        """The domain, or None when we do not host it; mail of a suspended customer is still taken.

        RFC 5321 4.5.1: postmaster is known everywhere.
        """
        row = await self._pool.fetchrow(
            "SELECT d.id, d.customer_id, d.name, d.max_messages, d.max_bytes, "
            "d.unknown_recipients = 'accept' OR lower($2) = 'postmaster' OR EXISTS "
            "(SELECT FROM domain_recipients r WHERE r.domain_id = d.id AND r.local_part = lower($2)) AS knows "
            "FROM domains d JOIN customers c ON c.id = d.customer_id WHERE d.name = lower($1) AND c.state <> 'terminated'",
            name,
            local_part,
        )
        return HostedDomain(**dict(row)) if row else None

    async def waiting(self, domain_id: DomainId, most: int | None) -> tuple[int, int]:
        """Rows and octets that wait for a domain; no more than `most` rows are looked at."""
        row = await self._pool.fetchrow(
            "SELECT count(*), coalesce(sum(size), 0)::bigint AS octets FROM (SELECT size FROM recipients "
            "WHERE domain_id = $1 AND state IN ('queued', 'leased', 'held') LIMIT $2) AS waits",
            domain_id,
            most,
        )
        assert row is not None
        return row["count"], row["octets"]
