"""The event log: what happened, in an order that a reader can follow without missing one.

A row carries the transaction that wrote it. Readers stay below the oldest transaction that is still running
(events_horizon), so that none that commits late comes behind where they are. DESIGN, decided 12.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from shared.domain.access import Principal, Role
from shared.domain.names import CustomerId
from shared.storage.reading import Nouns

#: Every type of event, and what it tells.
TYPES: Final[Mapping[str, str]] = {
    "message.received": "Mail was taken for a recipient; the sender heard 250.",
    "message.delivered": "The customer's server said 250.",
    "message.deferred": "The customer's server said 4xx, or the line broke; it is tried again.",
    "message.failed": "The customer's server refused it for good, or an operator sent it back.",
    "message.expired": "Nobody fetched it within the retention time.",
    "message.held": "It waits for an operator.",
    "message.released": "A hold is over.",
    "message.retried": "An operator has it tried at once.",
    "message.deleted": "An operator deleted it, or its customer was terminated.",
    "dsn.failed": "The sender was told that it failed or expired.",
    "dsn.delayed": "The sender was told that it still waits.",
    "dsn.relayed": "The sender was told that the customer's server took it.",
    "session.started": "A customer's session turned.",
    "session.ended": "A turned session is over; the detail says why.",
    "customer.created": "A customer was made.",
    "customer.changed": "A customer's name, external id, notes or interval was changed.",
    "customer.plan_changed": "A customer has another plan.",
    "customer.suspended": "A customer was suspended; the detail says why.",
    "customer.resumed": "A customer is active again.",
    "customer.terminated": "A customer was terminated.",
    "customer.absent": "A customer was not connected for as long as it is expected to be.",
    "customer.returned": "A customer that was absent is connected.",
    "domain.created": "Mail is taken for a domain; the detail is its name.",
    "domain.verified": "The DNS showed that a domain is its customer's; the detail is its name.",
    "domain.removed": "Mail is not taken for a domain any more; the detail is its name.",
}


@dataclass(frozen=True, slots=True)
class Position:
    """How far a reader is."""

    xid: int
    id: UUID


START: Final = Position(0, UUID(int=0))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a customer, to one of its messages or in one of its sessions."""

    id: UUID
    at: datetime
    type: str
    customer_id: CustomerId
    external_id: str | None
    message_id: UUID | None
    recipient_id: UUID | None
    session_id: UUID | None
    detail: str
    position: Position


#: Whose events a principal sees. `:me` is its customer.
VISIBLE: Final = {Role.OPERATOR: "true", Role.RESELLER: "(c.id = :me OR c.owner_id = :me)", Role.CUSTOMER: "c.id = :me"}
_PAGE: Final = """
SELECT e.id, e.at, e.type, e.customer_id, c.external_id, e.message_id, e.recipient_id, e.session_id, e.detail,
    e.xid::text AS xid
FROM events e LEFT JOIN customers c ON c.id = e.customer_id
WHERE (e.xid, e.id) > (CAST(CAST(:xid AS text) AS xid8), CAST(:id AS uuid))
    AND e.xid < events_horizon()
    AND {visible}
    AND (CAST(:customer_id AS uuid) IS NULL OR e.customer_id = :customer_id)
    AND (CAST(:types AS text[]) = '{{}}' OR e.type = ANY(CAST(:types AS text[])))
ORDER BY e.xid, e.id LIMIT :limit
"""

_FIND: Final = """
SELECT e.id, e.at, e.type, e.customer_id, c.external_id, e.message_id, e.recipient_id, e.session_id, e.detail,
    e.xid::text AS xid
FROM events e LEFT JOIN customers c ON c.id = e.customer_id
WHERE e.id = :id AND e.at BETWEEN to_timestamp(CAST(:since AS float8)) AND to_timestamp(CAST(:until AS float8)) AND {visible}
"""
#: Seconds around the time that an id has.
_AROUND: Final = 0.002


class EventLog(Nouns):
    """Reads it."""

    async def page(
        self, principal: Principal, after: Position, types: Sequence[str], customer_id: CustomerId | None, limit: int
    ) -> list[Event]:
        """Events behind a position, the oldest first: a reader that keeps its position misses none."""
        values = {
            "xid": str(after.xid), "id": after.id, "types": list(types), "customer_id": customer_id, "limit": limit,
            **({"me": principal.customer_id} if principal.role is not Role.OPERATOR else {}),
        }  # fmt: skip
        query = text(_PAGE.format(visible=VISIBLE[principal.role])).bindparams(**values)
        return [event_of(row) for row in await self._all(query)]

    async def find(self, principal: Principal, event_id: UUID) -> Event | None:
        """The event, or None when there is none that the principal may see."""
        at = (event_id.int >> 80) / 1000
        since, until = (at - _AROUND, at + _AROUND) if event_id.version == 7 else (0.0, 1e11)  # of before version 0005
        values = {
            "id": event_id,
            "since": since,
            "until": until,
            **({"me": principal.customer_id} if principal.role is not Role.OPERATOR else {}),
        }
        rows = await self._all(text(_FIND.format(visible=VISIBLE[principal.role])).bindparams(**values))
        return event_of(rows[0]) if rows else None

    async def now(self) -> Position:
        """Where a reader begins that wants only what comes."""
        row = (await self._all(text("SELECT events_horizon()::text AS xid")))[0]
        return Position(int(row["xid"]) - 1, UUID(int=(1 << 128) - 1))


def event_of(row: Mapping[str, Any]) -> Event:
    """From a row of the query above."""
    values = {name: row[name] for name in Event.__slots__ if name != "position"}
    return Event(**values, position=Position(int(row["xid"]), row["id"]))
