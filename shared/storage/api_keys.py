"""Keys of the HTTP API: stored as SHA-256 of 256 random bits, with the visible beginning that tells them apart."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, func, insert, or_, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.domain.access import Principal, Role
from shared.domain.names import CustomerId
from shared.storage.engine import reading
from shared.storage.reading import Conflict
from shared.storage.tables import api_keys, customers


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as a list shows it: everything but the secret."""

    id: UUID
    customer_id: CustomerId | None
    role: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


_SHOWN = (
    api_keys.c.id, api_keys.c.customer_id, api_keys.c.role, api_keys.c.name, api_keys.c.prefix, api_keys.c.scopes,
    api_keys.c.created_at, api_keys.c.last_used_at, api_keys.c.expires_at,
)  # fmt: skip


#: Seconds that the last use may be behind, so that a busy key is not written at each request.
_USE_NOTED_EVERY: Final = 60

_LIVES: Final = and_(
    api_keys.c.revoked_at.is_(None), or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > func.now())
)

#: Composed once: every request asks it.
_FIND: Final = select(
    api_keys.c.id, api_keys.c.role, api_keys.c.customer_id, api_keys.c.scopes,
    (api_keys.c.last_used_at > func.now() - timedelta(seconds=_USE_NOTED_EVERY)).label("is_noted"),
).where(api_keys.c.secret_sha256 == bindparam("secret_sha256"), _LIVES)  # fmt: skip


def keys_visible_to(principal: Principal) -> ColumnElement[bool]:
    """Own keys, and a reseller's those of its customers."""
    if principal.role is Role.OPERATOR:
        return true()
    owned = select(customers.c.id).where(customers.c.owner_id == principal.customer_id)
    own = api_keys.c.customer_id == principal.customer_id
    return or_(own, api_keys.c.customer_id.in_(owned)) if principal.role is Role.RESELLER else own


class ApiKeys:
    """Makes, finds, lists and revokes them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reads = reading(engine)

    async def add(self, key_id: UUID, name: str, prefix: str, secret_sha256: bytes, principal: Principal) -> ApiKey:
        """A new key that speaks for this principal. Raises Conflict."""
        statement = (
            insert(api_keys)
            .values(
                id=key_id, customer_id=principal.customer_id, role=principal.role.value, name=name, prefix=prefix,
                secret_sha256=secret_sha256, scopes=sorted(principal.scopes), created_at=func.now(),
            )
            .returning(*_SHOWN)
        )  # fmt: skip
        try:
            async with self._engine.begin() as connection:
                return _of((await connection.execute(statement)).mappings().one())
        except IntegrityError:
            raise Conflict("that key is there already") from None

    async def find(self, secret_sha256: bytes) -> Principal | None:
        """Whom the key speaks for, or None. Notes the use, at most once a minute."""
        async with self._reads.connect() as connection:
            row = (await connection.execute(_FIND, {"secret_sha256": secret_sha256})).first()
            if row is not None and not row.is_noted:
                used = update(api_keys).where(api_keys.c.id == row.id).values(last_used_at=func.now())
                await connection.execute(used)
        return Principal(Role(row.role), row.customer_id, frozenset(row.scopes), row.id) if row else None

    async def page(self, principal: Principal, after: UUID | None, limit: int) -> list[ApiKey]:
        """Keys that are not revoked, newest first, those behind `after`."""
        query = select(*_SHOWN).where(keys_visible_to(principal), _LIVES)
        query = query.order_by(api_keys.c.id.desc()).limit(limit)
        if after is not None:
            query = query.where(api_keys.c.id < after)
        async with self._reads.connect() as connection:
            return [_of(row) for row in (await connection.execute(query)).mappings()]

    async def get(self, principal: Principal, key_id: UUID) -> ApiKey | None:
        """The key, or None when there is none that lives and that the principal may see."""
        query = select(*_SHOWN).where(api_keys.c.id == key_id, keys_visible_to(principal), _LIVES)
        async with self._reads.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return _of(row) if row else None

    async def rotate(self, key: ApiKey, key_id: UUID, prefix: str, secret_sha256: bytes, overlap: timedelta) -> ApiKey:
        """A new key that is as the old one, which ends after `overlap`, and not later than it would have."""
        made = insert(api_keys).values(
            id=key_id, customer_id=key.customer_id, role=key.role, name=key.name, prefix=prefix,
            secret_sha256=secret_sha256, scopes=list(key.scopes), created_at=func.now(),
        )  # fmt: skip
        ends = func.least(api_keys.c.expires_at, func.now() + overlap)
        async with self._engine.begin() as connection:
            await connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(expires_at=ends))
            return _of((await connection.execute(made.returning(*_SHOWN))).mappings().one())

    async def revoke(self, principal: Principal, key_id: UUID) -> bool:
        """Ends a key; False when there is none that the principal may see, or it was ended before."""
        statement = (
            update(api_keys)
            .where(api_keys.c.id == key_id, keys_visible_to(principal), _LIVES)
            .values(revoked_at=func.now())
            .returning(api_keys.c.id)
        )
        async with self._engine.begin() as connection:
            return (await connection.execute(statement)).first() is not None


def _of(row: "object") -> ApiKey:
    known = dict(row)  # type: ignore[call-overload]
    return ApiKey(**{**known, "scopes": tuple(known["scopes"])})
