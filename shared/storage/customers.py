"""Customers, as a principal may see them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from shared.domain.access import Principal
from shared.domain.names import CustomerId
from shared.storage.reading import VERSION, Changed, Nouns, Tells, newest_first, visible_to
from shared.storage.tables import credentials, customers, domains, events, recipients

#: States of a recipient in which its mail is kept.
_KEPT: Final = ("queued", "leased", "held")


@dataclass(frozen=True, slots=True)
class Customer:
    """Whose mail it is. `suspended_for` says why, while the state is suspended; `receiving` what senders hear then, and
    `resume_at` when it ends by itself.

    A terminated customer's mail is deleted at `purge_at`. One that is expected every so often is absent when it was not
    connected for that long.
    """

    id: CustomerId
    external_id: str | None
    name: str
    plan_id: UUID | None
    metadata: Mapping[str, str]
    state: str
    suspended_for: str
    receiving: str
    resume_at: datetime | None
    purge_at: datetime | None
    expected_every_seconds: int | None
    absent_since: datetime | None
    created_at: datetime
    version: str


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a customer has: domains, credentials that are not revoked, and mail that is kept, in octets, too."""

    domains: int
    credentials: int
    messages: int
    octets: int
    oldest_received_at: datetime | None


_c = customers.c
_SHOWN = (*(_c[name] for name in Customer.__slots__ if name != "version"), VERSION(customers))


class Customers(Nouns):
    """Makes, finds and changes them."""

    async def create(self, principal: Principal, customer_id: CustomerId, values: Mapping[str, Any]) -> Customer:
        """A new customer, owned by who made it. Raises Conflict when the external id is taken."""
        made = {
            "id": customer_id, "owner_id": principal.customer_id, "state": "active", "suspended_for": "", "receiving": "hold",
            "metadata": {}, "created_at": func.now(), **values,
        }  # fmt: skip
        row = await self._write(
            insert(customers).values(**made).returning(*_SHOWN),
            _external(values.get("external_id")),
            Tells("customer.created", customer_id),
        )
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
        """Sets what is named. Raises Conflict, and Changed when it is not this version any more."""
        if not changes:
            return customer
        told = (
            "customer.plan_changed"
            if changes.get("plan_id", customer.plan_id) != customer.plan_id
            else "customer.changed"
        )
        return await self._update(customer, changes, told, VERSION(customers) == customer.version)

    async def suspend(self, customer: Customer, reason: str, receiving: str, until: datetime | None) -> Customer:
        """Its mail is kept and not given out: ATRN gets 450, and sessions that run come to an end. Idempotent."""
        changes = {"state": "suspended", "suspended_for": reason, "receiving": receiving, "resume_at": until}
        if all(getattr(customer, name) == value for name, value in changes.items()):
            return customer
        return await self._update(customer, changes, "customer.suspended", _c.state != "terminated")

    async def resume(self, customer: Customer) -> Customer:
        """Its mail is given out again. Idempotent."""
        if customer.state == "active":
            return customer
        changes = {"state": "active", "suspended_for": "", "receiving": "hold", "resume_at": None}
        return await self._update(customer, changes, "customer.resumed", _c.state != "terminated")

    async def terminate(self, customer: Customer, purge_after: timedelta) -> Customer:
        """No mail is taken or given out, no credential works, and what is kept is deleted after a time. Idempotent."""
        if customer.state == "terminated":
            return customer
        changes = {
            "state": "terminated", "suspended_for": "", "resume_at": None, "purge_at": func.now() + purge_after,
        }  # fmt: skip
        revoked = (
            update(credentials)
            .where(credentials.c.customer_id == customer.id, credentials.c.revoked_at.is_(None))
            .values(revoked_at=func.now())
        )
        return await self._update(customer, changes, "customer.terminated", _c.state != "terminated", also=revoked)

    async def undo(self, customer: Customer) -> None:
        """Takes back one that was made a moment ago and has no mail: as if nobody had asked."""
        async with self._engine.begin() as connection:
            for table in (credentials, domains):
                await connection.execute(delete(table).where(table.c.customer_id == customer.id))
            await connection.execute(delete(customers).where(_c.id == customer.id))
            told = Tells("customer.terminated", customer.id, "it could not be made whole")
            await connection.execute(insert(events).values(**asdict(told)))

    async def holdings(self, customer: Customer) -> Holdings:
        """Exact counts, now."""
        hosted = select(domains.c.id).where(domains.c.customer_id == customer.id)
        mine = recipients.c.domain_id.in_(hosted), recipients.c.state.in_(_KEPT)
        has = credentials.c.customer_id == customer.id, credentials.c.revoked_at.is_(None)
        count = func.count().label("count")
        row = await self._one(
            select(
                select(count).where(domains.c.customer_id == customer.id).scalar_subquery().label("domains"),
                select(count).where(*has).scalar_subquery().label("credentials"),
                count.label("messages"),
                func.coalesce(func.sum(recipients.c.size), 0).label("octets"),
                func.min(recipients.c.received_at).label("oldest_received_at"),
            ).where(*mine)
        )
        assert row is not None
        return Holdings(**{**row, "octets": int(row["octets"])})

    async def _update(
        self,
        customer: Customer,
        changes: Mapping[str, Any],
        told: str,
        condition: ColumnElement[bool],
        also: Any = None,
    ) -> Customer:
        statement = update(customers).where(_c.id == customer.id, condition).values(**changes).returning(*_SHOWN)
        detail = changes.get("suspended_for", "")
        row = await self._write(
            statement, _external(changes.get("external_id")), Tells(told, customer.id, detail), also
        )
        if row is None:
            raise Changed
        return Customer(**row)


def _external(external_id: str | None) -> str:
    return f"a customer with the external id {external_id}"
