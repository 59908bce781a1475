"""What was counted for billing: append-only rows, the hour buckets that the roll-up folds them into, and adjustments."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Select, Subquery, and_, case, func, insert, literal, or_, select, true, tuple_, union_all

from shared.domain.access import Principal
from shared.domain.names import CustomerId
from shared.storage.reading import Nouns, newest_first, visible_to
from shared.storage.tables import customers, domains, recipients, usage, usage_adjustments, usage_buckets

Granularity = Literal["hour", "day", "month"]
#: What is counted carries the time at which its transaction began; none lasts nearly as long.
FINAL_AFTER: Final = timedelta(minutes=15)
_KEPT: Final = ("queued", "leased", "held")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the list of records one stands: they are in this order, the newest first."""

    start: datetime
    customer_id: UUID
    domain_id: UUID
    meter: str


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One meter of one domain in one hour, day or month. `domain` is None for one that is not hosted any more, and for what
    belongs to none. A final record never changes; its id is the same each time."""

    place: Place
    granularity: Granularity
    end: datetime
    external_id: str | None
    domain: str | None
    amount: int
    is_final: bool

    @property
    def id(self) -> UUID:
        """From what it counts, so that who imports it twice has it once."""
        place = self.place
        words = f"{place.customer_id} {place.domain_id} {place.meter} {self.granularity} {place.start.isoformat()}"
        return UUID(bytes=hashlib.sha256(words.encode()).digest()[:16])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records: of one customer, one meter, of periods that begin from `since` and before `until`."""

    customer_id: CustomerId | None = None
    meter: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """All that one customer used in a time, what was adjusted of it, and what is stored now."""

    customer_id: CustomerId
    external_id: str | None
    name: str
    state: str
    meters: Mapping[str, int]
    adjustments: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A correction of what was counted, by a person, with its reason; it stands apart."""

    id: UUID
    customer_id: CustomerId
    meter: str
    hour: datetime
    amount: int
    reason: str
    made_at: datetime


_a = usage_adjustments.c
_ADJUSTED = tuple(_a[name] for name in Adjustment.__slots__)


class Usage(Nouns):
    """Reads it, and writes adjustments."""

    async def records(
        self, principal: Principal, granularity: Granularity, wanted: Wanted, after: Place | None, limit: int
    ) -> list[UsageRecord]:
        """Records behind `after`, the newest first."""
        grouped = _grouped(granularity, wanted)
        end = grouped.c.start + func.make_interval(*_interval(granularity))
        query = (
            select(
                *grouped.c, end.label("end"), customers.c.external_id, domains.c.name.label("domain"),
                (end + FINAL_AFTER <= func.now()).label("is_final"),
            )
            .join(customers, customers.c.id == grouped.c.customer_id)
            .outerjoin(domains, domains.c.id == grouped.c.domain_id)
            .where(visible_to(principal))
            .order_by(grouped.c.start.desc(), grouped.c.customer_id, grouped.c.domain_id, grouped.c.meter)
            .limit(limit)
        )  # fmt: skip
        if after is not None:
            within = tuple_(grouped.c.customer_id, grouped.c.domain_id, grouped.c.meter) > tuple_(
                literal(after.customer_id), literal(after.domain_id), literal(after.meter)
            )
            query = query.where(or_(grouped.c.start < after.start, and_(grouped.c.start == after.start, within)))
        return [_record(row, granularity) for row in await self._all(query)]

    async def summary(self, principal: Principal, since: datetime, until: datetime) -> list[Summary]:
        """Every customer that the principal may see, in one answer."""
        used = _grouped("month", Wanted(since=since, until=until))
        periods = select(used.c.customer_id, used.c.meter, used.c.amount, literal(False).label("is_adjusted"))
        adjusted = select(_a.customer_id, _a.meter, _a.amount, true().label("is_adjusted")).where(
            _a.hour >= since, _a.hour < until
        )
        kept = (
            select(
                recipients.c.customer_id, func.count().label("messages"), func.sum(recipients.c.size).label("octets")
            )
            .where(recipients.c.state.in_(_KEPT))
            .group_by(recipients.c.customer_id)
            .cte("kept")
        )
        hosted = select(domains.c.customer_id, literal("active_domains"), func.count(), literal(False))
        now = (
            select(kept.c.customer_id, literal("stored_messages"), kept.c.messages, literal(False)),
            select(kept.c.customer_id, literal("stored_bytes"), kept.c.octets, literal(False)),
            hosted.group_by(domains.c.customer_id),
        )
        both = union_all(periods, adjusted, *now).subquery()
        amount = func.sum(both.c.amount)
        query = (
            select(
                customers.c.id, customers.c.external_id, customers.c.name, customers.c.state, both.c.meter,
                func.sum(case((both.c.is_adjusted, 0), else_=both.c.amount)).label("used"),
                func.sum(case((both.c.is_adjusted, both.c.amount), else_=0)).label("adjusted"), amount.label("amount"),
            )
            .outerjoin(both, both.c.customer_id == customers.c.id)
            .where(visible_to(principal))
            .group_by(customers.c.id, both.c.meter)
            .order_by(customers.c.id, both.c.meter)
        )  # fmt: skip
        return _summaries(await self._all(query))

    async def adjust(self, adjustment_id: UUID, key_id: UUID, values: Mapping[str, Any]) -> Adjustment:
        """Adds one, of a customer that the caller has found."""
        statement = insert(usage_adjustments).values(id=adjustment_id, api_key_id=key_id, made_at=func.now(), **values)
        row = await self._write(statement.returning(*_ADJUSTED), "that adjustment")
        assert row is not None
        return Adjustment(**row)

    async def adjustments(
        self, principal: Principal, customer_id: CustomerId | None, after: UUID | None, limit: int
    ) -> list[Adjustment]:
        """Newest first, those behind `after`; of one customer if it is named."""
        query = select(*_ADJUSTED).join(customers, customers.c.id == _a.customer_id).where(visible_to(principal))
        if customer_id is not None:
            query = query.where(_a.customer_id == customer_id)
        return [Adjustment(**row) for row in await self._all(newest_first(query, _a.id, after, limit))]


def _grouped(granularity: Granularity, wanted: Wanted) -> Subquery:
    """Sums by customer, domain, meter and period, of rows that are folded and of those that are not yet."""
    hour = func.date_trunc("hour", usage.c.at, "UTC")
    rows = select(usage.c.customer_id, usage.c.domain_id, usage.c.meter, hour.label("hour"), usage.c.amount)
    both = union_all(
        _within(rows, hour, wanted), _within(select(usage_buckets), usage_buckets.c.hour, wanted)
    ).subquery()
    start = func.date_trunc(granularity, both.c.hour, "UTC").label("start")
    query = select(start, both.c.customer_id, both.c.domain_id, both.c.meter, func.sum(both.c.amount).label("amount"))
    if wanted.customer_id is not None:
        query = query.where(both.c.customer_id == wanted.customer_id)
    if wanted.meter is not None:
        query = query.where(both.c.meter == wanted.meter)
    return query.group_by(start, both.c.customer_id, both.c.domain_id, both.c.meter).subquery()


def _within(query: Select[Any], hour: Any, wanted: Wanted) -> Select[Any]:
    if wanted.since is not None:
        query = query.where(hour >= wanted.since)
    return query.where(hour < wanted.until) if wanted.until is not None else query


def _interval(granularity: Granularity) -> tuple[int, int, int, int, int]:
    """Years, months, weeks, days and hours, as make_interval takes them."""
    return {"hour": (0, 0, 0, 0, 1), "day": (0, 0, 0, 1, 0), "month": (0, 1, 0, 0, 0)}[granularity]


def _record(row: Mapping[str, Any], granularity: Granularity) -> UsageRecord:
    place = Place(row["start"], row["customer_id"], row["domain_id"], row["meter"])
    return UsageRecord(
        place, granularity, row["end"], row["external_id"], row["domain"], int(row["amount"]), row["is_final"]
    )


def _summaries(rows: list[Mapping[str, Any]]) -> list[Summary]:
    found: dict[UUID, tuple[Mapping[str, Any], dict[str, int], dict[str, int]]] = {}
    for row in rows:
        _, used, adjusted = found.setdefault(row["id"], (row, {}, {}))
        if row["meter"] is not None:
            used[row["meter"]] = int(row["used"])
            if row["adjusted"]:
                adjusted[row["meter"]] = int(row["adjusted"])
    return [
        Summary(CustomerId(row["id"]), row["external_id"], row["name"], row["state"], used, adjusted)
        for row, used, adjusted in found.values()
    ]
