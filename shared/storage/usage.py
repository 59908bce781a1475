"""What was counted for billing: append-only rows, and the hour buckets that the roll-up folds them into."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, union_all

from shared.domain.access import Principal
from shared.domain.names import CustomerId
from shared.storage.reading import Nouns, visible_to
from shared.storage.tables import customers, domains, usage, usage_buckets


@dataclass(frozen=True, slots=True)
class Metered:
    """One meter of one domain. `domain` is None for one that is not hosted any more."""

    customer_id: CustomerId
    domain: str | None
    meter: str
    amount: int


class Usage(Nouns):
    """Reads it."""

    async def totals(
        self, principal: Principal, customer_id: CustomerId | None, since: datetime | None, until: datetime | None
    ) -> list[Metered]:
        """Sums by customer, domain and meter, of the hours from `since` up to `until`."""
        hour = func.date_trunc("hour", usage.c.at, "UTC")
        both = union_all(
            select(usage.c.customer_id, usage.c.domain_id, usage.c.meter, hour.label("hour"), usage.c.amount),
            select(usage_buckets),
        ).subquery()
        query = (
            select(
                both.c.customer_id, domains.c.name.label("domain"), both.c.meter, func.sum(both.c.amount).label("sum")
            )
            .join(customers, customers.c.id == both.c.customer_id)
            .outerjoin(domains, domains.c.id == both.c.domain_id)
            .where(visible_to(principal))
            .group_by(both.c.customer_id, domains.c.name, both.c.meter)
            .order_by(both.c.customer_id, domains.c.name, both.c.meter)
        )
        if customer_id is not None:
            query = query.where(both.c.customer_id == customer_id)
        if since is not None:
            query = query.where(both.c.hour >= since)
        if until is not None:
            query = query.where(both.c.hour < until)
        rows = await self._all(query)
        return [Metered(row["customer_id"], row["domain"], row["meter"], int(row["sum"])) for row in rows]
