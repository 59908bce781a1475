"""A database that was loaded into another cluster: its events go on above those that it brought.

An event carries the transaction that wrote it (shared.storage.event_log), and each cluster counts transactions for itself.
After a dump was loaded elsewhere the new ones would stand below the old ones, where no reader looks any more.
"""

from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

log = structlog.get_logger()

#: Room for what readers saw after the dump was made, and what is lost with the old cluster: 2^32 transactions.
GAP: Final = 1 << 32

#: The next transaction as events would carry it, how far those that are there go, and how far ahead we are already.
_LOOK: Final = """
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::numeric AS following,
    greatest((SELECT xid::text::numeric FROM events ORDER BY xid DESC, id DESC LIMIT 1),
        (SELECT max(seen_xid::text::numeric) FROM webhook_endpoints), 0) AS newest,
    events_horizon()::text::numeric - pg_snapshot_xmin(pg_current_snapshot())::text::numeric AS ahead
"""


async def go_on(connection: AsyncConnection) -> bool:
    """Moves new events above those that are there; says whether that was needed. Costs one look where it is not."""
    row = (await connection.execute(text(_LOOK))).mappings().one()
    following, newest, ahead = int(row["following"]), int(row["newest"]), int(row["ahead"])
    if newest < following + ahead:
        return False
    ahead = newest - following + GAP
    await connection.execute(
        text(
            "ALTER TABLE events ALTER COLUMN xid "
            f"SET DEFAULT ((pg_current_xact_id()::text::numeric + {ahead})::text::xid8)"
        )
    )
    await connection.execute(
        text(
            "CREATE OR REPLACE FUNCTION events_horizon() RETURNS xid8 LANGUAGE sql STABLE AS "
            f"'SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::numeric + {ahead})::text::xid8'"
        )
    )
    log.warning("events.go_on", newest=newest, following=following, ahead=ahead)
    return True
