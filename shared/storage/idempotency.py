"""Requests that bear an Idempotency-Key: done once, and answered the same when they come again within KEPT."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from shared.storage.reading import Nouns
from shared.storage.tables import idempotency_keys

#: How long an answer is kept: longer than a weekend.
KEPT: Final = timedelta(hours=72)
#: After this a request that was begun and has no answer has died with its process; it may be done again.
ABANDONED: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a key: the request that it came with, and its answer; `status` is None while it is being done."""

    request_sha256: bytes
    status: int | None
    sealed_body: bytes


_k = idempotency_keys.c


class IdempotencyKeys(Nouns):
    """Keeps them."""

    async def begin(self, api_key_id: UUID, key: str, request_sha256: bytes) -> Known | None:
        """None when the request is to be done now; else what is known of it."""
        statement = insert(idempotency_keys).values(
            api_key_id=api_key_id, key=key, request_sha256=request_sha256, begun_at=func.now()
        )
        again = statement.excluded
        is_stale = or_(and_(_k.status.is_(None), _k.begun_at < func.now() - ABANDONED), _k.begun_at < func.now() - KEPT)
        begun = statement.on_conflict_do_update(
            index_elements=[_k.api_key_id, _k.key],
            set_={"request_sha256": again.request_sha256, "status": None, "sealed_body": None, "begun_at": func.now()},
            where=is_stale,
        ).returning(_k.key)
        if await self._write(begun, "") is not None:
            return None
        row = await self._one(
            select(_k.request_sha256, _k.status, _k.sealed_body).where(_k.api_key_id == api_key_id, _k.key == key)
        )
        return Known(row["request_sha256"], row["status"], row["sealed_body"] or b"") if row else Known(b"", None, b"")

    async def keep(self, api_key_id: UUID, key: str, status: int, sealed_body: bytes) -> None:
        """The request was done: this is its answer."""
        statement = update(idempotency_keys).where(_k.api_key_id == api_key_id, _k.key == key)
        await self._write(statement.values(status=status, sealed_body=sealed_body).returning(_k.key), "")

    async def forget(self, api_key_id: UUID, key: str) -> None:
        """The request had no effect: it may be done another time."""
        statement = delete(idempotency_keys).where(_k.api_key_id == api_key_id, _k.key == key, _k.status.is_(None))
        await self._write(statement.returning(_k.key), "")
