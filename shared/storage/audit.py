"""Who changed what over the API: a line for each request that had an effect."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select

from shared.domain.access import Principal
from shared.storage.api_keys import keys_visible_to
from shared.storage.reading import Nouns, newest_first
from shared.storage.tables import api_keys, audit


@dataclass(frozen=True, slots=True)
class Audited:
    """One request: by which key, what, and how it was answered."""

    id: UUID
    at: datetime
    api_key_id: UUID
    key_name: str
    method: str
    path: str
    status: int
    request_id: str
    peer: str


_a = audit.c
_SHOWN = (*(_a[name] for name in Audited.__slots__ if name != "key_name"), api_keys.c.name.label("key_name"))


class AuditLog(Nouns):
    """Writes and reads it."""

    async def add(
        self, audit_id: UUID, key_id: UUID, method: str, path: str, status: int, request_id: str, peer: str
    ) -> None:
        """One line more."""
        values = {
            "id": audit_id, "api_key_id": key_id, "method": method, "path": path, "status": status, "request_id": request_id,
            "peer": peer,
        }  # fmt: skip
        await self._write(insert(audit).values(**values).returning(_a.id), "")

    async def page(self, principal: Principal, after: UUID | None, limit: int) -> list[Audited]:
        """Lines of the keys that the principal may see, newest first, those behind `after`."""
        query = select(*_SHOWN).join(api_keys, api_keys.c.id == _a.api_key_id).where(keys_visible_to(principal))
        return [Audited(**row) for row in await self._all(newest_first(query, _a.id, after, limit))]
