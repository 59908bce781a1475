"""What an operator does with mail that waits: hold, release, retry, bounce, delete. Each says why, and is told as an event.

A row that a session has leased is on its way: hold takes it off (a delivery that comes about all the same is a fact and
settles it), bounce and delete leave it alone. What is terminal is never touched.
"""

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Interval, TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.domain.access import Principal, Role
from shared.domain.names import DomainId, MessageId
from shared.storage.engine import reading

#: How long a hold lasts that names no end, and at most. What is held does not expire meanwhile.
HOLD_TIME: Final = timedelta(days=14)
MAX_HOLD: Final = timedelta(days=60)


#: Rows that one transaction moves.
BATCH: Final = 1_000


class Handling(enum.Enum):
    """What is done, and the event that tells of it."""

    HOLD = "held"
    RELEASE = "released"
    RETRY = "retried"
    BOUNCE = "failed"
    DELETE = "deleted"


#: From which states, and what is set. $until is for hold alone.
_MOVES: Final = {
    Handling.HOLD: (("queued", "leased", "held"), "state = 'held', lease_id = NULL, held_until = now() + :until"),
    Handling.RELEASE: (("held",), "state = 'queued', held_until = NULL, next_at = now(), lost_leases = 0"),
    Handling.RETRY: (("queued",), "next_at = now(), last_session_id = NULL"),
    Handling.BOUNCE: (
        ("queued", "held"),
        "state = 'failed', settled_at = now(), is_dsn_due = true, held_until = NULL, last_reply = :reason",
    ),
    Handling.DELETE: (("queued", "held"), "state = 'deleted', settled_at = now(), held_until = NULL"),
}

_HANDLE: Final = """
WITH changed AS (
    UPDATE recipients r SET {sets}
    WHERE {which}
        AND (:is_operator OR r.customer_id IN (SELECT id FROM customers WHERE :customer_id IN (id, owner_id)))
    RETURNING r.id, r.message_id, r.customer_id, r.size
), told AS (
    INSERT INTO events (type, customer_id, message_id, recipient_id, detail)
    SELECT :event, customer_id, message_id, id, :reason FROM changed
)
SELECT size FROM changed
"""
_OF_A_MESSAGE: Final = "r.message_id = :message_id AND r.state = ANY(:states)"
#: Of a domain's queue, BATCH at a time; what a session or another is at now is left for the next look.
_IN_A_QUEUE: Final = "r.domain_id = :domain_id AND r.state = ANY(:states) AND (NOT :back_off OR r.next_at > now())"
_OF_A_DOMAIN: Final = (  # of constants of this file alone, as the next one
    f"r.id IN (SELECT r.id FROM recipients r WHERE {_IN_A_QUEUE} LIMIT {BATCH} FOR UPDATE SKIP LOCKED)"  # noqa: S608
)
_COUNT: Final = (
    "SELECT count(*) AS recipients, coalesce(sum(r.size), 0)::bigint AS octets "  # noqa: S608
    f"FROM recipients r WHERE {_IN_A_QUEUE}"
)


def _statement(handling: Handling, which: str) -> TextClause:
    statement = text(_HANDLE.format(sets=_MOVES[handling][1], which=which))
    return statement.bindparams(bindparam("until", type_=Interval)) if handling is Handling.HOLD else statement


_STATEMENTS: Final = {handling: _statement(handling, _OF_A_MESSAGE) for handling in Handling}
_OF_QUEUES: Final = {handling: _statement(handling, _OF_A_DOMAIN) for handling in Handling}


@dataclass(frozen=True, slots=True)
class Moved:
    """Recipients that were moved on, or would be, and their octets."""

    recipients: int
    octets: int


class Handlings:
    """Does it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reads = reading(engine)

    async def handle(
        self, principal: Principal, message_id: MessageId, handling: Handling, reason: str, until: timedelta = HOLD_TIME
    ) -> int:
        """How many recipients of the message, of those that the principal may see, were in a state that this moves on."""
        values = {**_values(principal, handling, reason, until), "message_id": message_id}
        async with self._engine.begin() as connection:
            return len((await connection.execute(_STATEMENTS[handling], values)).all())

    async def handle_queue(
        self,
        principal: Principal,
        domain_id: DomainId,
        handling: Handling,
        reason: str,
        until: timedelta = HOLD_TIME,
        *,
        dry_run: bool,
    ) -> Moved:
        """The same for all that waits for a domain which the caller has found; a batch a transaction. Exact."""
        which = {
            "domain_id": domain_id,
            "states": [state for state in _MOVES[handling][0] if handling is not Handling.HOLD or state != "held"],
            "back_off": handling is Handling.RETRY,
        }
        if dry_run:
            async with self._reads.connect() as connection:
                row = (await connection.execute(text(_COUNT), which)).mappings().one()
            return Moved(row["recipients"], row["octets"])
        values = {**_values(principal, handling, reason, until), **which}
        recipients = octets = 0
        while True:
            async with self._engine.begin() as connection:
                sizes = (await connection.execute(_OF_QUEUES[handling], values)).scalars().all()
            if not sizes:
                return Moved(recipients, octets)
            recipients, octets = recipients + len(sizes), octets + sum(sizes)


def _values(principal: Principal, handling: Handling, reason: str, until: timedelta) -> dict[str, Any]:
    values: dict[str, Any] = {
        "states": list(_MOVES[handling][0]),
        "is_operator": principal.role is Role.OPERATOR,
        "customer_id": principal.customer_id,
        "event": f"message.{handling.value}",
        "reason": reason,
    }
    return {**values, "until": until} if handling is Handling.HOLD else values
