"""Sessions, running and past, as a principal may see them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select, text

from shared.domain.access import Principal
from shared.domain.names import CredentialId, CustomerId, SessionId
from shared.storage.reading import Nouns, newest_first, visible_to
from shared.storage.tables import customers, sessions


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One turned session. `is_live`: it stays on the line and is pushed to; it runs while `ended_at` is None."""

    id: SessionId
    customer_id: CustomerId
    credential_id: CredentialId
    peer: str
    is_tls: bool
    mechanism: str
    domains: tuple[str, ...]
    is_live: bool
    started_at: datetime
    ended_at: datetime | None
    sent_messages: int
    sent_bytes: int
    why_ended: str


_s = sessions.c


class SessionRecords(Nouns):
    """Reads them."""

    async def find(self, principal: Principal, session_id: SessionId) -> SessionRecord | None:
        """The session, or None when there is none that the principal may see."""
        row = await self._one(_visible(principal).where(_s.id == session_id))
        return _of(row) if row else None

    async def page(
        self,
        principal: Principal,
        customer_id: CustomerId | None,
        after: SessionId | None,
        limit: int,
        *,
        is_running: bool | None,
    ) -> list[SessionRecord]:
        """Sessions, newest first, those behind `after`; of one customer, and running or past, where that is asked."""
        query = newest_first(_visible(principal), _s.id, after, limit)
        if customer_id is not None:
            query = query.where(_s.customer_id == customer_id)
        if is_running is not None:
            query = query.where(_s.ended_at.is_(None) if is_running else _s.ended_at.is_not(None))
        return [_of(row) for row in await self._all(query)]

    async def disconnect(self, record: SessionRecord) -> bool:
        """Has a session that the caller has found end when it next renews its lease; False when it does not run."""
        statement = text("UPDATE leases SET is_ended = true WHERE session_id = :id RETURNING id").bindparams(
            id=record.id
        )
        return await self._write(statement, "") is not None


def _visible(principal: Principal) -> Select[Any]:
    shown = [_s[name] for name in SessionRecord.__slots__]
    return select(*shown).join(customers, customers.c.id == _s.customer_id).where(visible_to(principal))


def _of(row: Any) -> SessionRecord:
    return SessionRecord(**{**row, "domains": tuple(row["domains"])})
