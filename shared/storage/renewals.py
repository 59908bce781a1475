"""Renewals of leases, those of a whole process in one statement: 10,000 sessions that wait ask a thousand times a second."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from shared.storage.engine import Pool
from shared.storage.gathering import Gathered

#: Seconds in which renewals gather; the shortest lease that a setting allows is 25 of them.
GATHER: Final = 0.02
#: Leases of one statement.
MOST: Final = 500

#: Renews those that still stand, and that no operator has ended, and whose customer and credential do; gives the customer's
#: domains. Locks in one order, so that two statements do not wait for one another.
_RENEW: Final = """
UPDATE leases l SET leased_until = now() + make_interval(secs => a.seconds)
FROM (
    SELECT l.id, l.customer_id, i.seconds
    FROM unnest($1::uuid[], $2::float8[], $3::uuid[]) AS i(id, seconds, credential_id)
        JOIN leases l ON l.id = i.id JOIN customers c ON c.id = l.customer_id JOIN credentials k ON k.id = i.credential_id
    WHERE l.leased_until > now() AND NOT l.is_ended AND c.state = 'active' AND k.revoked_at IS NULL
    ORDER BY l.id FOR UPDATE OF l
) a
WHERE l.id = a.id
RETURNING l.id, (SELECT array_agg(d.name) FROM domains d WHERE d.customer_id = a.customer_id) AS domains
"""


@dataclass(frozen=True, slots=True)
class _Renewal:
    lease_id: UUID
    seconds: float
    credential_id: UUID


class Renewals:
    """One a process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._gathered = Gathered(self._renew, most=MOST, wait=GATHER)

    async def renew(self, lease_id: UUID, seconds: float, credential_id: UUID) -> frozenset[str] | None:
        """Makes the lease last so long from now; gives the domains that its customer has, or None when it is lost.

        Raises the database's errors, and TimeoutError.
        """
        return await self._gathered.answer(_Renewal(lease_id, seconds, credential_id))

    async def _renew(self, asked: Sequence[_Renewal]) -> list[frozenset[str] | None]:
        rows = await self._pool.fetch(
            _RENEW,
            [one.lease_id for one in asked],
            [one.seconds for one in asked],
            [one.credential_id for one in asked],
        )
        found = {row["id"]: frozenset(row["domains"] or ()) or None for row in rows}
        return [found.get(one.lease_id) for one in asked]
