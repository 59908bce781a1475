"""Customers and their domains, as a principal may see them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, insert, or_, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.domain.access import Principal, Role
from shared.domain.names import CustomerId, DomainId, DomainName
from shared.storage.tables import customers, domains, recipients


class Conflict(Exception):
    """Something by that name is there already; the text names it."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Whose mail it is."""

    id: CustomerId
    external_id: str | None
    name: str
    state: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Domain:
    """A name that we take mail for."""

    id: DomainId
    customer_id: CustomerId
    name: DomainName
    created_at: datetime


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """What waits for a domain: rows and octets by state, and the oldest that is queued."""

    messages: dict[str, int]
    octets: dict[str, int]
    oldest_received_at: datetime | None


def visible_to(principal: Principal) -> ColumnElement[bool]:
    """The condition on `customers` that every read carries."""
    match principal.role:
        case Role.OPERATOR:
            return true()
        case Role.RESELLER:
            return or_(customers.c.id == principal.customer_id, customers.c.owner_id == principal.customer_id)
        case Role.CUSTOMER:
            return customers.c.id == principal.customer_id


class Customers:
    """Makes and finds customers and domains."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(
        self, principal: Principal, customer_id: CustomerId, name: str, external_id: str | None
    ) -> Customer:
        """A new customer, owned by who made it. Raises Conflict when the external id is taken."""
        statement = (
            insert(customers)
            .values(
                id=customer_id, name=name, external_id=external_id, owner_id=principal.customer_id, state="active",
                created_at=func.now(),
            )
            .returning(*_CUSTOMER)
        )  # fmt: skip
        row = await self._write(statement, f"a customer with the external id {external_id}")
        return Customer(**row)

    async def find(self, principal: Principal, customer_id: CustomerId) -> Customer | None:
        """The customer, or None when there is none that the principal may see."""
        row = await self._one(select(*_CUSTOMER).where(customers.c.id == customer_id, visible_to(principal)))
        return Customer(**row) if row else None

    async def find_external(self, principal: Principal, external_id: str) -> Customer | None:
        """The customer by the biller's own id."""
        row = await self._one(select(*_CUSTOMER).where(customers.c.external_id == external_id, visible_to(principal)))
        return Customer(**row) if row else None

    async def page(self, principal: Principal, after: CustomerId | None, limit: int) -> list[Customer]:
        """Customers, newest first, those behind `after`."""
        query = select(*_CUSTOMER).where(visible_to(principal)).order_by(customers.c.id.desc()).limit(limit)
        if after is not None:
            query = query.where(customers.c.id < after)
        async with self._engine.connect() as connection:
            return [Customer(**row) for row in (await connection.execute(query)).mappings()]

    async def create_domain(self, domain_id: DomainId, customer_id: CustomerId, name: DomainName) -> Domain:
        """A new domain of a customer that the caller has found. Raises Conflict when we host it already."""
        statement = (
            insert(domains)
            .values(
                id=domain_id, customer_id=customer_id, name=name, fail_after_seconds=14400, eight_bit="hold",
                created_at=func.now(),
            )
            .returning(*_DOMAIN)
        )  # fmt: skip
        return Domain(**await self._write(statement, f"the domain {name}"))

    async def find_domain(self, principal: Principal, domain_id: DomainId) -> Domain | None:
        """The domain by its id, or None when there is none that the principal may see."""
        return await self._domain(principal, domains.c.id == domain_id)

    async def find_domain_by_name(self, principal: Principal, name: DomainName) -> Domain | None:
        """The domain by its name."""
        return await self._domain(principal, domains.c.name == name)

    async def domains_page(self, principal: Principal, after: DomainId | None, limit: int) -> list[Domain]:
        """Domains, newest first, those behind `after`."""
        query = _domains(principal).order_by(domains.c.id.desc()).limit(limit)
        if after is not None:
            query = query.where(domains.c.id < after)
        async with self._engine.connect() as connection:
            return [Domain(**row) for row in (await connection.execute(query)).mappings()]

    async def queue(self, domain_id: DomainId) -> QueueFigures:
        """What the spool holds for a domain that the caller has found."""
        by_state = (
            select(recipients.c.state, func.count(), func.sum(recipients.c.size), func.min(recipients.c.received_at))
            .where(recipients.c.domain_id == domain_id)
            .group_by(recipients.c.state)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(by_state)).all()
        return QueueFigures(
            messages={state: count for state, count, _, _ in rows},
            octets={state: int(octets) for state, _, octets, _ in rows},
            oldest_received_at=min((oldest for state, _, _, oldest in rows if state in _WAITING), default=None),
        )

    async def _domain(self, principal: Principal, condition: ColumnElement[bool]) -> Domain | None:
        row = await self._one(_domains(principal).where(condition))
        return Domain(**row) if row else None

    async def _one(self, query: Select[Any]) -> dict[str, Any] | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return dict(row) if row else None

    async def _write(self, statement: Any, what: str) -> dict[str, Any]:
        try:
            async with self._engine.begin() as connection:
                return dict((await connection.execute(statement)).mappings().one())
        except IntegrityError:
            raise Conflict(f"{what} is there already") from None


_WAITING = ("queued", "leased")
_CUSTOMER = (customers.c.id, customers.c.external_id, customers.c.name, customers.c.state, customers.c.created_at)
_DOMAIN = (domains.c.id, domains.c.customer_id, domains.c.name, domains.c.created_at)


def _domains(principal: Principal) -> Select[Any]:
    return select(*_DOMAIN).join(customers, customers.c.id == domains.c.customer_id).where(visible_to(principal))
