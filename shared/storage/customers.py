"""Customers, as a principal may see them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update

from shared.domain.access import Principal
from shared.domain.names import CustomerId
from shared.storage.reading import Nouns, newest_first, visible_to
from shared.storage.tables import customers


@dataclass(frozen=True, slots=True)
class Customer:
    """Whose mail it is. `suspended_for` says why, while the state is suspended."""

    id: CustomerId
    external_id: str | None
    name: str
    state: str
    suspended_for: str
    created_at: datetime


_c = customers.c
_SHOWN = (_c.id, _c.external_id, _c.name, _c.state, _c.suspended_for, _c.created_at)


class Customers(Nouns):
    """Makes, finds and changes them."""

    async def create(
        self, principal: Principal, customer_id: CustomerId, name: str, external_id: str | None
    ) -> Customer:
        """A new customer, owned by who made it. Raises Conflict when the external id is taken."""
        values = {
            "id": customer_id, "name": name, "external_id": external_id, "owner_id": principal.customer_id,
            "state": "active", "suspended_for": "", "created_at": func.now(),
        }  # fmt: skip
        row = await self._write(insert(customers).values(**values).returning(*_SHOWN), _external(external_id))
        assert row is not None
        return Customer(**row)

    async def find(self, principal: Principal, customer_id: CustomerId) -> Customer | None:
        """The customer, or None when there is none that the principal may see."""
        row = await self._one(select(*_SHOWN).where(_c.id == customer_id, visible_to(principal)))
        return Customer(**row) if row else None

    async def find_external(self, principal: Principal, external_id: str) -> Customer | None:
        """The customer by the biller's own id."""
        row = await self._one(select(*_SHOWN).where(_c.external_id == external_id, visible_to(principal)))
        return Customer(**row) if row else None

    async def page(self, principal: Principal, after: CustomerId | None, limit: int) -> list[Customer]:
        """Customers, newest first, those behind `after`."""
        query = newest_first(select(*_SHOWN).where(visible_to(principal)), _c.id, after, limit)
        return [Customer(**row) for row in await self._all(query)]

    async def change(self, customer: Customer, changes: Mapping[str, Any]) -> Customer:
        """Sets name or external_id of a customer that the caller has found. Raises Conflict."""
        return await self._update(customer, changes) if changes else customer

    async def suspend(self, customer: Customer, reason: str) -> Customer:
        """Its mail is kept and not given out: ATRN gets 450, and sessions that run come to an end. Idempotent."""
        return await self._update(customer, {"state": "suspended", "suspended_for": reason})

    async def resume(self, customer: Customer) -> Customer:
        """Its mail is given out again. Idempotent."""
        return await self._update(customer, {"state": "active", "suspended_for": ""})

    async def _update(self, customer: Customer, changes: Mapping[str, Any]) -> Customer:
        statement = update(customers).where(_c.id == customer.id).values(**changes).returning(*_SHOWN)
        row = await self._write(statement, _external(changes.get("external_id")))
        assert row is not None
        return Customer(**row)


def _external(external_id: str | None) -> str:
    return f"a customer with the external id {external_id}"
