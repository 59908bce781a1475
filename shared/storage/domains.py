"""Domains that we take mail for: their policies, the recipients that they know, and what waits for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, delete, exists, func, insert, select, update

from shared.domain.access import Principal
from shared.domain.names import CustomerId, DomainId, DomainName
from shared.storage.reading import VERSION, Changed, Conflict, Nouns, Tells, newest_first, visible_to
from shared.storage.tables import customers, domain_recipients, domains, plans, recipients, refused_recipients

#: States of a recipient in which its mail is on its way.
_WAITING: Final = ("queued", "leased")
_KEPT: Final = ("queued", "leased", "held", "failed", "expired")
#: What a domain is made with; None for no limit.
_POLICIES: Final = {
    "fail_after_seconds": 14400,
    "eight_bit": "hold",
    "unknown_recipients": "accept",
    "learn_refusals_seconds": 0,
    "priority": 0,
    "retention_days": None,
    "delay_notice_seconds": 0,
    "when_refused": "fail",
    "max_messages": None,
    "max_bytes": None,
}


@dataclass(frozen=True, slots=True)
class Domain:
    """A name that we take mail for, and its policies.

    `fail_after_seconds`: how long a 5xx before the content is no end. `eight_bit`: hold or send what a server without
    8BITMIME may not take. `unknown_recipients`: accept or reject who is not in the domain's list; `learn_refusals_seconds`:
    how long whom the customer's server does not know is refused at once, 0 not at all. `priority`: 0 to 9, the highest goes
    first in a session. `retention_days`: when
    mail that nobody fetched expires; None as the plan says. `delay_notice_seconds`: when senders hear that it still waits;
    0 never. `when_refused`: fail (with a DSN) or hold what the server refuses for good. `max_messages` and `max_bytes`:
    what may wait; None for no limit. `verified_at`: when its DNS showed that it is the customer's.
    """

    id: DomainId
    customer_id: CustomerId
    name: DomainName
    fail_after_seconds: int
    eight_bit: str
    unknown_recipients: str
    learn_refusals_seconds: int
    priority: int
    retention_days: int | None
    delay_notice_seconds: int
    when_refused: str
    max_messages: int | None
    max_bytes: int | None
    verified_at: datetime | None
    created_at: datetime
    version: str


class LimitReached(Exception):
    """The plan does not have room for another domain; the text says how many it has."""


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """What waits for a domain: rows and octets by state, and the oldest that is queued."""

    messages: dict[str, int]
    octets: dict[str, int]
    oldest_received_at: datetime | None


@dataclass(frozen=True, slots=True)
class RefusedRecipient:
    """Whom the customer's server did not know, what it said, and until when that is believed."""

    local_part: str
    reply: str
    until: datetime


_c = domains.c
_SHOWN = (*(_c[name] for name in Domain.__slots__ if name != "version"), VERSION(domains))


class Domains(Nouns):
    """Makes, finds and changes them."""

    async def create(self, domain_id: DomainId, customer_id: CustomerId, name: DomainName) -> Domain:
        """A new domain of a customer that the caller has found. Raises Conflict when we host it already, and LimitReached."""
        await self._check_room(customer_id)
        values = {"id": domain_id, "customer_id": customer_id, "name": name, "created_at": func.now(), **_POLICIES}
        row = await self._write(
            insert(domains).values(**values).returning(*_SHOWN),
            f"the domain {name}",
            Tells("domain.created", customer_id, name),
        )
        assert row is not None
        return Domain(**row)

    async def _check_room(self, customer_id: CustomerId) -> None:
        """Two at once may both be the last: no harm."""
        has = select(func.count()).where(_c.customer_id == customer_id).scalar_subquery()
        query = select(plans.c.max_domains).join(customers, customers.c.plan_id == plans.c.id)
        row = await self._one(query.where(customers.c.id == customer_id, plans.c.max_domains <= has))
        if row is not None:
            raise LimitReached(f"The plan has room for {row['max_domains']} domains")

    async def find(self, principal: Principal, domain_id: DomainId) -> Domain | None:
        """The domain by its id, or None when there is none that the principal may see."""
        return await self._find(principal, _c.id == domain_id)

    async def find_by_name(self, principal: Principal, name: DomainName) -> Domain | None:
        """The domain by its name."""
        return await self._find(principal, _c.name == name)

    async def page(
        self, principal: Principal, customer_id: CustomerId | None, after: DomainId | None, limit: int
    ) -> list[Domain]:
        """Domains, newest first, those behind `after`; of one customer if it is named."""
        query = newest_first(_visible(principal), _c.id, after, limit)
        if customer_id is not None:
            query = query.where(_c.customer_id == customer_id)
        return [Domain(**row) for row in await self._all(query)]

    async def change(self, domain: Domain, changes: Mapping[str, Any]) -> Domain:
        """Sets policies of a domain that the caller has found. Raises Changed when it is not this version any more."""
        if not changes:
            return domain
        statement = update(domains).where(_c.id == domain.id, VERSION(domains) == domain.version).values(**changes)
        row = await self._write(statement.returning(*_SHOWN), f"the domain {domain.name}")
        if row is None:
            raise Changed
        return Domain(**row)

    async def verify(self, domain: Domain) -> Domain:
        """The domain is its customer's. Idempotent."""
        statement = update(domains).where(_c.id == domain.id, _c.verified_at.is_(None)).values(verified_at=func.now())
        told = Tells("domain.verified", domain.customer_id, domain.name)
        row = await self._write(statement.returning(*_SHOWN), f"the domain {domain.name}", told)
        return Domain(**row) if row else domain

    async def remove(self, domain: Domain) -> None:
        """No mail is taken for it any more. Raises Conflict while some is kept: nothing of it would be given out."""
        has_mail = exists().where(recipients.c.domain_id == domain.id, recipients.c.state.in_(_KEPT))
        statement = delete(domains).where(_c.id == domain.id, ~has_mail).returning(_c.id)
        told = Tells("domain.removed", domain.customer_id, domain.name)
        if await self._write(statement, "", told) is None and await self._one(select(_c.id).where(_c.id == domain.id)):
            raise Conflict(f"mail for {domain.name} is kept; it must be fetched first")

    async def recipients_of(self, domain_id: DomainId) -> list[str]:
        """The local parts that the domain knows, in order."""
        query = select(domain_recipients.c.local_part).where(domain_recipients.c.domain_id == domain_id)
        rows = await self._all(query.order_by(domain_recipients.c.local_part))
        return [str(row["local_part"]) for row in rows]

    async def set_recipients(self, domain_id: DomainId, local_parts: Sequence[str]) -> None:
        """Puts this list in place of the old one, at once. Case does not matter."""
        rows = [{"domain_id": domain_id, "local_part": part} for part in sorted({part.lower() for part in local_parts})]
        async with self._engine.begin() as connection:
            await connection.execute(delete(domain_recipients).where(domain_recipients.c.domain_id == domain_id))
            if rows:
                await connection.execute(insert(domain_recipients), rows)

    async def refused_of(self, domain_id: DomainId, after: str, limit: int) -> list[RefusedRecipient]:
        """Whom the customer's server did not know, by name, those behind `after`."""
        f = refused_recipients.c
        query = select(f.local_part, f.reply, f.until).where(
            f.domain_id == domain_id, f.local_part > after, f.until > func.now()
        )
        return [RefusedRecipient(**row) for row in await self._all(query.order_by(f.local_part).limit(limit))]

    async def forget_refused(self, domain_id: DomainId, local_part: str | None) -> None:
        """One of them, or all: mail is taken for them again."""
        statement = delete(refused_recipients).where(refused_recipients.c.domain_id == domain_id)
        if local_part is not None:
            statement = statement.where(refused_recipients.c.local_part == local_part.lower())
        async with self._engine.begin() as connection:
            await connection.execute(statement)

    async def queue(self, domain_id: DomainId) -> QueueFigures:
        """What the spool holds for a domain that the caller has found."""
        by_state = (
            select(
                recipients.c.state,
                func.count().label("count"),
                func.sum(recipients.c.size).label("octets"),
                func.min(recipients.c.received_at).label("oldest"),
            )
            .where(recipients.c.domain_id == domain_id)
            .group_by(recipients.c.state)
        )
        rows = await self._all(by_state)
        return QueueFigures(
            messages={row["state"]: row["count"] for row in rows},
            octets={row["state"]: int(row["octets"]) for row in rows},
            oldest_received_at=min((row["oldest"] for row in rows if row["state"] in _WAITING), default=None),
        )

    async def _find(self, principal: Principal, condition: ColumnElement[bool]) -> Domain | None:
        row = await self._one(_visible(principal).where(condition))
        return Domain(**row) if row else None


def _visible(principal: Principal) -> Select[Any]:
    return select(*_SHOWN).join(customers, customers.c.id == _c.customer_id).where(visible_to(principal))
