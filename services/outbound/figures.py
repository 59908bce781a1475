"""What waits, for Prometheus: told by this one service, since the database, which is asked, knows all of it."""

from typing import Final

from shared import metrics
from shared.storage.engine import Pool, database_size
from shared.storage.figures import waiting

#: Seconds between two counts: each looks through what waits.
EVERY: Final = 15.0


async def count(pool: Pool) -> None:
    """One round. Raises the database's errors: the figures are then those of the round before."""
    for one in await waiting(pool):
        metrics.QUEUE_MESSAGES.labels(one.state).set(one.messages)
        metrics.QUEUE_BYTES.labels(one.state).set(one.octets)
        metrics.QUEUE_OLDEST.labels(one.state).set(one.oldest)
    metrics.DATABASE_BYTES.set(await database_size(pool))
