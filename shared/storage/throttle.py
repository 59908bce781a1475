"""Failures to authenticate, counted for all replicas. The table is UNLOGGED: a crash of PostgreSQL forgives."""

from datetime import timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.domain.throttle import MEMORY, doors_of
from shared.storage.engine import reading

#: How many failures each door saw, and how long ago the last was.
_LOOK: Final = text("""
SELECT door, failures, now() - last_at AS ago FROM auth_failures WHERE door = ANY(CAST(:doors AS bytea[]))
""")
#: One more at each door; old ones are forgotten first.
_COUNT: Final = text("""
INSERT INTO auth_failures AS f (door, failures, last_at)
SELECT door, 1, now() FROM unnest(CAST(:doors AS bytea[])) AS d(door)
ON CONFLICT (door) DO UPDATE SET
    failures = CASE WHEN f.last_at < now() - make_interval(secs => :memory) THEN 1 ELSE f.failures + 1 END, last_at = now()
""")
_FORGET: Final = text("DELETE FROM auth_failures WHERE door = :door")


class AuthFailures:
    """What auth asks and tells."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reads = reading(engine)

    async def is_closed(self, peer: str, authcid: str) -> bool:
        """Whether one of the doors is closed now."""
        doors = doors_of(peer, authcid)
        async with self._reads.connect() as connection:
            rows = (await connection.execute(_LOOK, {"doors": sorted(doors)})).all()
        return any(timedelta(0) <= ago < doors[bytes(door)].wait(failures) for door, failures, ago in rows)

    async def failed(self, peer: str, authcid: str) -> None:
        """One more failure at each door, in one order, so that two that count at once do not wait for each other."""
        doors = sorted(doors_of(peer, authcid))
        async with self._engine.begin() as connection:
            await connection.execute(_COUNT, {"doors": doors, "memory": MEMORY.total_seconds()})

    async def passed(self, peer: str, authcid: str) -> None:
        """The name's door is open again; the source's failures stay."""
        by_name = next(iter(doors_of(peer, authcid)))
        async with self._engine.begin() as connection:
            await connection.execute(_FORGET, {"door": by_name})
