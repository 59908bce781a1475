"""Plans: limits that many customers share. What a plan leaves out has no limit but our own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, true, update

from shared.domain.access import Principal, Role
from shared.storage.reading import VERSION, Changed, Conflict, Nouns, newest_first
from shared.storage.tables import customers, plans


@dataclass(frozen=True, slots=True)
class Plan:
    """`retention_days`: when mail that nobody fetched expires, where its domain does not say. `max_messages` and `max_bytes`:
    what may wait for all domains of a customer. `max_sessions`: turned sessions at a time. `max_message_bytes`: of one
    message; `max_messages_per_hour`: what is taken from senders in an hour by the clock."""

    id: UUID
    name: str
    retention_days: int
    max_domains: int | None
    max_messages: int | None
    max_bytes: int | None
    max_sessions: int | None
    max_message_bytes: int | None
    max_messages_per_hour: int | None
    created_at: datetime
    version: str


_p = plans.c
_SHOWN = (*(_p[name] for name in Plan.__slots__ if name != "version"), VERSION(plans))


def _visible_to(principal: Principal) -> ColumnElement[bool]:
    """The operator's are everybody's to read but a customer's, who sees the one it has."""
    match principal.role:
        case Role.OPERATOR:
            return true()
        case Role.RESELLER:
            return or_(_p.owner_id.is_(None), _p.owner_id == principal.customer_id)
        case Role.CUSTOMER:
            return _p.id.in_(select(customers.c.plan_id).where(customers.c.id == principal.customer_id))


class Plans(Nouns):
    """Makes, finds and changes them."""

    async def create(self, principal: Principal, plan_id: UUID, values: Mapping[str, Any]) -> Plan:
        """A new plan, owned by who made it. Raises Conflict when one by that name is there."""
        row = await self._write(
            insert(plans)
            .values(id=plan_id, owner_id=principal.customer_id, created_at=func.now(), **values)
            .returning(*_SHOWN),
            f"a plan {values['name']}",
        )
        assert row is not None
        return Plan(**row)

    async def find(self, principal: Principal, plan_id: UUID) -> Plan | None:
        """The plan, or None when there is none that the principal may see."""
        row = await self._one(select(*_SHOWN).where(_p.id == plan_id, _visible_to(principal)))
        return Plan(**row) if row else None

    async def find_by_name(self, principal: Principal, name: str) -> Plan | None:
        """The same by its name."""
        row = await self._one(select(*_SHOWN).where(_p.name == name, _visible_to(principal)))
        return Plan(**row) if row else None

    async def page(self, principal: Principal, after: UUID | None, limit: int) -> list[Plan]:
        """Plans, newest first, those behind `after`."""
        query = newest_first(select(*_SHOWN).where(_visible_to(principal)), _p.id, after, limit)
        return [Plan(**row) for row in await self._all(query)]

    async def owns(self, principal: Principal, plan: Plan) -> bool:
        """Whether the principal may change it: an operator any, a reseller its own."""
        if principal.role is Role.OPERATOR:
            return True
        query = select(_p.id).where(_p.id == plan.id, _p.owner_id == principal.customer_id)
        return principal.role is Role.RESELLER and await self._one(query) is not None

    async def change(self, plan: Plan, changes: Mapping[str, Any]) -> Plan:
        """Sets what is named, for all its customers at once. Raises Conflict, and Changed when it is another version."""
        if not changes:
            return plan
        statement = update(plans).where(_p.id == plan.id, VERSION(plans) == plan.version).values(**changes)
        row = await self._write(statement.returning(*_SHOWN), f"a plan {changes.get('name')}")
        if row is None:
            raise Changed
        return Plan(**row)

    async def remove(self, plan: Plan) -> None:
        """Raises Conflict while customers have it."""
        in_use = select(customers.c.id).where(customers.c.plan_id == plan.id).exists()
        statement = delete(plans).where(_p.id == plan.id, ~in_use).returning(_p.id)
        if await self._write(statement, "") is None and await self._one(select(_p.id).where(_p.id == plan.id)):
            raise Conflict(f"customers have the plan {plan.name}; give them another first")
