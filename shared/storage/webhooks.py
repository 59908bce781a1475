"""Webhook endpoints, and what they are to hear: each event that concerns them becomes one delivery, once.

The fan-out moves an endpoint along the event log, and writes its deliveries in the same transaction; a process that dies in
between does it again from the same place.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, or_, select, text, true, update
from sqlalchemy.dialects.postgresql import insert

from shared.domain.access import Principal, Role
from shared.domain.names import CustomerId
from shared.storage.event_log import Event, EventLog, Position
from shared.storage.reading import Nouns, newest_first
from shared.storage.tables import customers, webhook_deliveries, webhook_endpoints

#: Events that one step of the fan-out reads for one endpoint.
BATCH: Final = 500
#: After this a delivery that was begun and has no result is begun again: well over the time-out of a request.
BEGUN_FOR: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL that hears of events. `types`: only these; empty for all. `disabled_for`: why it hears of none."""

    id: UUID
    customer_id: CustomerId | None
    role: str
    url: str
    types: tuple[str, ...]
    state: str
    disabled_for: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint."""

    endpoint_id: UUID
    event_id: UUID
    event_at: datetime
    state: str
    attempts: int
    next_at: datetime
    last_status: int | None
    last_error: str
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be tried now; `attempts` counts this one."""

    endpoint_id: UUID
    event_id: UUID
    url: str
    sealed_secrets: bytes
    body: str
    attempts: int


_e = webhook_endpoints.c
_d = webhook_deliveries.c
_SHOWN = tuple(_e[name] for name in Endpoint.__slots__)
_LISTED = tuple(_d[name] for name in Delivery.__slots__)

_CREATE: Final = """
INSERT INTO webhook_endpoints (id, api_key_id, customer_id, role, url, types, sealed_secrets, seen_xid, seen_id)
VALUES (:id, :api_key_id, :customer_id, :role, :url, :types, :sealed_secrets, CAST(CAST(:xid AS text) AS xid8), :seen)
RETURNING id, customer_id, role, url, types, state, disabled_for, created_at
"""
#: The next endpoint that has something to read, kept from other processes while this one reads for it.
_NEXT: Final = """
SELECT id, role, customer_id, types, seen_xid::text AS seen_xid, seen_id FROM webhook_endpoints w
WHERE state = 'enabled' AND id > :after AND EXISTS (SELECT FROM events e WHERE (e.xid, e.id) > (w.seen_xid, w.seen_id))
ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_MOVE: Final = """
UPDATE webhook_endpoints SET seen_xid = CAST(CAST(:xid AS text) AS xid8), seen_id = :seen WHERE id = :id
"""
_BEGIN: Final = """
WITH due AS (
    SELECT d.endpoint_id, d.event_id FROM webhook_deliveries d JOIN webhook_endpoints w ON w.id = d.endpoint_id
    WHERE d.state = 'due' AND d.next_at <= now() AND w.state = 'enabled'
    ORDER BY d.next_at LIMIT :limit FOR UPDATE OF d SKIP LOCKED
)
UPDATE webhook_deliveries d SET attempts = d.attempts + 1, next_at = now() + :begun_for
FROM due, webhook_endpoints w
WHERE d.endpoint_id = due.endpoint_id AND d.event_id = due.event_id AND w.id = d.endpoint_id
RETURNING d.endpoint_id, d.event_id, w.url, w.sealed_secrets, d.body, d.attempts
"""


def _visible_to(principal: Principal) -> ColumnElement[bool]:
    if principal.role is Role.OPERATOR:
        return true()
    mine = _e.customer_id == principal.customer_id
    owned = select(customers.c.id).where(customers.c.owner_id == principal.customer_id)
    return or_(mine, _e.customer_id.in_(owned)) if principal.role is Role.RESELLER else mine


class Webhooks(Nouns):
    """Makes, finds and changes endpoints, and says what is due."""

    async def create(
        self,
        principal: Principal,
        endpoint_id: UUID,
        url: str,
        types: Sequence[str],
        sealed_secrets: bytes,
        now: Position,
    ) -> Endpoint:
        """Hears what the principal may see, from `now` on."""
        values = {
            "id": endpoint_id, "api_key_id": principal.key_id, "customer_id": principal.customer_id,
            "role": principal.role.value, "url": url, "types": list(types), "sealed_secrets": sealed_secrets,
        }  # fmt: skip
        row = await self._write(text(_CREATE).bindparams(**values, xid=str(now.xid), seen=now.id), "that endpoint")
        assert row is not None
        return _endpoint(row)

    async def find(self, principal: Principal, endpoint_id: UUID) -> Endpoint | None:
        """The endpoint, or None when there is none that the principal may see."""
        row = await self._one(select(*_SHOWN).where(_e.id == endpoint_id, _visible_to(principal)))
        return _endpoint(row) if row else None

    async def page(self, principal: Principal, after: UUID | None, limit: int) -> list[Endpoint]:
        """Endpoints, newest first, those behind `after`."""
        query = select(*_SHOWN).where(_visible_to(principal)).order_by(_e.id.desc()).limit(limit)
        return [_endpoint(row) for row in await self._all(query.where(_e.id < after) if after else query)]

    async def change(self, endpoint_id: UUID, changes: Mapping[str, Any]) -> Endpoint:
        """Sets what is named, of one that the caller has found."""
        statement = update(webhook_endpoints).where(_e.id == endpoint_id).values(**changes).returning(*_SHOWN)
        row = await self._write(statement, "that endpoint")
        assert row is not None
        return _endpoint(row)

    async def remove(self, endpoint_id: UUID) -> None:
        """It hears of nothing more, nor of what was due."""
        await self._write(delete(webhook_endpoints).where(_e.id == endpoint_id).returning(_e.id), "")

    async def sealed_secrets(self, endpoint_id: UUID) -> bytes:
        """Of one that the caller has found."""
        row = await self._one(select(_e.sealed_secrets).where(_e.id == endpoint_id))
        return bytes(row["sealed_secrets"]) if row else b""

    async def deliveries(self, endpoint_id: UUID, state: str | None, after: UUID | None, limit: int) -> list[Delivery]:
        """Of one endpoint, in the order of their events' ids, those behind `after`."""
        query: Select[Any] = select(*_LISTED).where(_d.endpoint_id == endpoint_id)
        if state is not None:
            query = query.where(_d.state == state)
        return [Delivery(**row) for row in await self._all(newest_first(query, _d.event_id, after, limit))]

    async def redeliver(self, endpoint_id: UUID, event_id: UUID | None, since: datetime | None) -> int:
        """Makes one due again, or all of a time; gives how many."""
        which = _d.event_id == event_id if event_id is not None else _d.event_at >= since
        statement = (
            update(webhook_deliveries)
            .where(_d.endpoint_id == endpoint_id, which)
            .values(state="due", attempts=0, next_at=func.now(), settled_at=None)
        )
        async with self._engine.begin() as connection:
            return (await connection.execute(statement)).rowcount

    # --- by the sender alone ------------------------------------------------------------------------------------------

    async def fan_out(self, log: EventLog, body_of: Callable[[Event], str]) -> int:
        """Moves each enabled endpoint along the log, by BATCH events at most; gives how many deliveries were made."""
        made, after = 0, UUID(int=0)
        while True:
            now = await log.now()
            async with self._engine.begin() as connection:
                row = (await connection.execute(text(_NEXT), {"after": after})).mappings().first()
                if row is None:
                    return made
                after = row["id"]
                who = Principal(Role(row["role"]), row["customer_id"], frozenset())
                events = await log.page(who, Position(int(row["seen_xid"]), row["seen_id"]), row["types"], None, BATCH)
                if events:
                    values = [_values(row["id"], event, body_of(event)) for event in events]
                    await connection.execute(insert(webhook_deliveries).on_conflict_do_nothing(), values)
                seen = events[-1].position if events else now
                if len(events) < BATCH:  # what others saw in between is behind us, too
                    seen = max(seen, now, key=lambda one: (one.xid, one.id))
                await connection.execute(text(_MOVE), {"id": row["id"], "xid": str(seen.xid), "seen": seen.id})
                made += len(events)

    async def begin(self, limit: int) -> list[Due]:
        """Deliveries to try now; nobody else has them for BEGUN_FOR."""
        async with self._engine.begin() as connection:
            rows = await connection.execute(text(_BEGIN), {"limit": limit, "begun_for": BEGUN_FOR})
            return [Due(**row) for row in rows.mappings()]

    async def settle(self, due: Due, state: str, status: int | None, error: str, again: timedelta | None) -> None:
        """What became of it; `again` is when it is tried anew, if it is."""
        values: dict[str, Any] = {"state": state, "last_status": status, "last_error": error}
        values |= {"next_at": func.now() + again} if again is not None else {"settled_at": func.now()}
        where = _d.endpoint_id == due.endpoint_id, _d.event_id == due.event_id
        await self._write(update(webhook_deliveries).where(*where).values(**values).returning(_d.event_id), "")


def _endpoint(row: Mapping[str, Any]) -> Endpoint:
    return Endpoint(**{**row, "types": tuple(row["types"])})


def _values(endpoint_id: UUID, event: Event, body: str) -> dict[str, Any]:
    return {"endpoint_id": endpoint_id, "event_id": event.id, "event_at": event.at, "body": body}
