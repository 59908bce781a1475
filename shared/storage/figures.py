"""What waits in the spool, all of it, by state: for the figures that operators watch."""

from dataclasses import dataclass
from typing import Final

from shared.storage.engine import Pool

#: States of a recipient in which it waits.
WAITING: Final = ("queued", "leased", "held")
_QUERY: Final = """
SELECT s.state, count(r.id) AS messages, coalesce(sum(r.size), 0)::bigint AS octets,
    coalesce(extract(epoch FROM now() - min(r.received_at)), 0)::float8 AS oldest
FROM unnest($1::text[]) AS s(state) LEFT JOIN recipients r ON r.state = s.state GROUP BY s.state
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Recipients in one state, octets, and the age of the oldest in seconds; 0 where there is none."""

    state: str
    messages: int
    octets: int
    oldest: float


async def waiting(pool: Pool) -> list[Waiting]:
    """Looks through what waits. Raises the database's errors."""
    return [Waiting(**dict(row)) for row in await pool.fetch(_QUERY, list(WAITING))]
