"""What an operator does with mail that waits: hold, release, retry, bounce, delete. Each says why, and is told as an event.

A row that a session has leased is on its way: hold takes it off (a delivery that comes about all the same is a fact and
settles it), bounce and delete leave it alone. What is terminal is never touched.
"""

import enum
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import Interval, bindparam, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.domain.access import Principal, Role
from shared.domain.names import MessageId

#: How long a hold lasts that names no end, and at most. What is held does not expire meanwhile.
HOLD_TIME: Final = timedelta(days=14)
MAX_HOLD: Final = timedelta(days=60)


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
    WHERE r.message_id = :message_id AND r.state = ANY(:states)
        AND (:is_operator OR r.customer_id IN (SELECT id FROM customers WHERE :customer_id IN (id, owner_id)))
    RETURNING r.id, r.message_id, r.customer_id
), told AS (
    INSERT INTO events (type, customer_id, message_id, recipient_id, detail)
    SELECT :event, customer_id, message_id, id, :reason FROM changed
)
SELECT id FROM changed
"""
_STATEMENTS: Final = {
    handling: text(_HANDLE.format(sets=sets)).bindparams(bindparam("until", type_=Interval))
    if ":until" in sets
    else text(_HANDLE.format(sets=sets))
    for handling, (_, sets) in _MOVES.items()
}


class Handlings:
    """Does it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def handle(
        self, principal: Principal, message_id: MessageId, handling: Handling, reason: str, until: timedelta = HOLD_TIME
    ) -> int:
        """How many recipients of the message, of those that the principal may see, were in a state that this moves on."""
        states: Sequence[str] = _MOVES[handling][0]
        values = {
            "message_id": message_id,
            "states": list(states),
            "is_operator": principal.role is Role.OPERATOR,
            "customer_id": principal.customer_id,
            "event": f"message.{handling.value}",
            "reason": reason,
        }
        if handling is Handling.HOLD:
            values["until"] = until
        async with self._engine.begin() as connection:
            return len((await connection.execute(_STATEMENTS[handling], values)).all())
