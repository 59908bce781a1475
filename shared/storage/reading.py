"""What every read and write of the API's nouns has in common: what a principal may see, rows as dicts, and conflicts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Label, Select, Table, Text, insert, literal_column, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import or_

from shared.domain.access import Principal, Role
from shared.storage.engine import reading
from shared.storage.tables import customers, events

Q = TypeVar("Q", bound=Select[Any])


class Conflict(Exception):
    """Something by that name is there already, or still in use; the text says what."""


class Changed(Exception):
    """The row is not the one any more that the caller has read."""


@dataclass(frozen=True, slots=True)
class Tells:
    """An event that a write tells of, in its own transaction."""

    type: str
    customer_id: UUID
    detail: str = ""


def VERSION(table: Table) -> Label[str]:  # noqa: N802 - it stands where columns stand
    """What changes with each change of a row: the transaction that wrote it."""
    return literal_column(f"{table.name}.xmin::text", Text).label("version")


def visible_to(principal: Principal) -> ColumnElement[bool]:
    """The condition on `customers` that every read carries."""
    match principal.role:
        case Role.OPERATOR:
            return true()
        case Role.RESELLER:
            return or_(customers.c.id == principal.customer_id, customers.c.owner_id == principal.customer_id)
        case Role.CUSTOMER:
            return customers.c.id == principal.customer_id


def newest_first(query: Q, key: Column[Any], after: UUID | None, limit: int) -> Q:
    """One page of a list: ids are uuid7, so that the newest have the highest."""
    query = query.order_by(key.desc()).limit(limit)
    return query.where(key < after) if after is not None else query


class Nouns:
    """A base for those who read and write one noun."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reads = reading(engine)

    async def _one(self, query: Select[Any]) -> dict[str, Any] | None:
        async with self._reads.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return dict(row) if row else None

    async def _all(self, query: Any) -> list[Mapping[str, Any]]:
        async with self._reads.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def _write(
        self, statement: Any, what: str, tells: Tells | None = None, also: Any = None
    ) -> dict[str, Any] | None:
        """The row that came back, if one did, and then it is told. Raises Conflict: `what` is there already."""
        try:
            async with self._engine.begin() as connection:
                row = (await connection.execute(statement)).mappings().first()
                if row is not None and also is not None:
                    await connection.execute(also)
                if row is not None and tells is not None:
                    await connection.execute(insert(events).values(**asdict(tells)))
        except IntegrityError:
            raise Conflict(f"{what} is there already") from None
        return dict(row) if row else None
