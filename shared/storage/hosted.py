"""What inbound asks at RCPT: is this domain ours, and whose is it."""

from dataclasses import dataclass

from shared.domain.names import CustomerId, DomainId, DomainName
from shared.storage.engine import Pool


@dataclass(frozen=True, slots=True)
class HostedDomain:
    """A domain that we take mail for."""

    id: DomainId
    customer_id: CustomerId
    name: DomainName


class HostedDomains:
    """Looks domains up. Errors of the database pass through: the sender hears 451."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, name: str) -> HostedDomain | None:
        """The domain, or None when we do not host it; mail of a suspended customer is still taken."""
        row = await self._pool.fetchrow(
            "SELECT d.id, d.customer_id, d.name FROM domains d JOIN customers c ON c.id = d.customer_id "
            "WHERE d.name = lower($1) AND c.state <> 'terminated'",
            name,
        )
        return HostedDomain(**dict(row)) if row else None
