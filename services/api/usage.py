"""/v1/usage and /v1/meters: what was counted, for whoever writes the bill."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.api.access import PartsOf, needs
from services.api.customers import find_customer_id, get_customer
from services.api.errors import Problem
from services.api.paging import ID_PATTERN, Cursor, Limit, page, read_cursor
from services.api.schemas import MAX_INTEGER, PROBLEMS, Input, Line, Page, Shown, When
from shared.domain.access import Principal, Role
from shared.domain.meters import METERS, PERIOD_METERS
from shared.domain.names import from_public_id, public_id
from shared.storage.usage import Adjustment, Granularity, Place, Summary, UsageRecord, Wanted

router = APIRouter(prefix="/v1", tags=["usage"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("usage:read"))]
Writer = Annotated[Principal, Depends(needs("usage:write"))]

MeterName = Literal[
    "messages_received",
    "bytes_received",
    "messages_delivered",
    "bytes_delivered",
    "messages_expired",
    "session_seconds",
]
UsageCursor = Annotated[
    str | None,
    Query(
        description="next_cursor of the page before",
        pattern=f"^[0-9]{{1,11}}-cus_{ID_PATTERN}-dom_{ID_PATTERN}-({'|'.join(sorted(PERIOD_METERS))})$",
    ),
]
Period = Annotated[
    str, Query(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", description="a month, in UTC", examples=["2026-11"])
]


class MeterOutput(BaseModel):
    """What is counted; `kind` is `period` for sums over a time, `snapshot` for what is there now."""

    name: str
    unit: str
    kind: str
    description: str


class MetersOutput(BaseModel):
    """All of them."""

    data: list[MeterOutput]


class UsageOutput(Shown):
    """One meter of one domain in one hour, day or month. A final one never changes; its id is the same each time."""

    customer_id: str
    external_id: str | None
    domain: str | None
    meter: str
    start: datetime
    end: datetime
    amount: int
    final: bool

    @classmethod
    def of(cls, record: UsageRecord) -> "UsageOutput":
        """From the spool's own value."""
        return cls(
            id=public_id("use", record.id),
            customer_id=public_id("cus", record.place.customer_id),
            external_id=record.external_id,
            domain=record.domain,
            meter=record.place.meter,
            start=record.place.start,
            end=record.end,
            amount=record.amount,
            final=record.is_final,
        )


class CloudEvent(BaseModel):
    """A final hour as a CloudEvent (1.0), as OpenMeter, Lago, Orb and Metronome take it."""

    specversion: str = "1.0"
    id: str
    source: str = "/v1/usage"
    type: str
    subject: str
    time: datetime
    data: dict[str, Any]

    @classmethod
    def of(cls, record: UsageRecord) -> "CloudEvent":
        """`subject` is the biller's own id of the customer, or ours where it has none."""
        shown = UsageOutput.of(record)
        data = {"customer_id": shown.customer_id, "domain": shown.domain, "meter": shown.meter, "amount": shown.amount}
        subject = shown.external_id or shown.customer_id
        return cls(id=shown.id, type=f"odmr.usage.{shown.meter}", subject=subject, time=shown.start, data=data)


class SummaryOutput(BaseModel):
    """What one customer used: `meters` without the adjustments; stored_ and active_ ones as they are now."""

    customer_id: str
    external_id: str | None
    name: str
    state: str
    meters: dict[str, int]
    adjustments: dict[str, int]

    @classmethod
    def of(cls, summary: Summary) -> "SummaryOutput":
        """From the spool's own value."""
        return cls(
            customer_id=public_id("cus", summary.customer_id),
            external_id=summary.external_id,
            name=summary.name,
            state=summary.state,
            meters=dict(summary.meters),
            adjustments=dict(summary.adjustments),
        )


class SummariesOutput(BaseModel):
    """Every customer that the key may see."""

    start: datetime
    end: datetime
    data: list[SummaryOutput]


class AdjustmentInput(Input):
    """A correction, signed. `at` is in the hour that it belongs to."""

    customer_id: str
    meter: MeterName
    at: When
    amount: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | Annotated[int, Field(ge=-MAX_INTEGER, le=-1)]
    reason: Line


class AdjustmentOutput(Shown):
    """A correction and its reason; it is shown apart from what was counted."""

    customer_id: str
    meter: str
    hour: datetime
    amount: int
    reason: str
    made_at: datetime

    @classmethod
    def of(cls, adjustment: Adjustment) -> "AdjustmentOutput":
        """From the spool's own value."""
        same = {name: getattr(adjustment, name) for name in ("meter", "hour", "amount", "reason", "made_at")}
        return cls(id=public_id("adj", adjustment.id), customer_id=public_id("cus", adjustment.customer_id), **same)


@router.get("/meters")
async def list_meters(_principal: Reader) -> MetersOutput:
    """What is counted, and how."""
    names = MeterOutput.model_fields
    return MetersOutput(data=[MeterOutput(**{name: getattr(meter, name) for name in names}) for meter in METERS])


@router.get("/usage")
async def list_usage(
    parts: PartsOf,
    principal: Reader,
    customer_id: str | None = None,
    meter: MeterName | None = None,
    granularity: Granularity = "day",
    since: When | None = None,
    until: When | None = None,
    limit: Limit = 20,
    cursor: UsageCursor = None,
) -> Page[UsageOutput]:
    """What was counted in hours that begin from `since` and before `until`, newest first."""
    owner = await find_customer_id(parts, principal, customer_id)
    wanted = Wanted(owner, meter, since, until)
    rows = await parts.usage.records(principal, granularity, wanted, _read_place(cursor), limit + 1)
    last = rows[limit - 1].place if len(rows) > limit else None
    data = [UsageOutput.of(row) for row in rows[:limit]]
    return Page(data=data, has_more=last is not None, next_cursor=_place(last) if last else None)


@router.get("/usage/summary")
async def read_summary(parts: PartsOf, principal: Reader, period: Period) -> SummariesOutput:
    """Every customer's month in one call, as billing modules ask for it once a day."""
    year, month = (int(part) for part in period.split("-"))
    start = datetime(year, month, 1, tzinfo=UTC)
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    found = await parts.usage.summary(principal, start, end)
    return SummariesOutput(start=start, end=end, data=[SummaryOutput.of(one) for one in found])


class CloudEventPage(BaseModel):
    """A batch of CloudEvents and where it goes on."""

    data: list[CloudEvent]
    has_more: bool
    next_cursor: str | None


@router.get("/usage/events")
async def list_usage_events(
    parts: PartsOf,
    principal: Reader,
    since: When | None = None,
    until: When | None = None,
    limit: Limit = 100,
    cursor: UsageCursor = None,
) -> CloudEventPage:
    """Final hours as CloudEvents, newest first. Importing one twice is harmless: its id is the same."""
    rows = await parts.usage.records(
        principal, "hour", Wanted(None, None, since, until), _read_place(cursor), limit + 1
    )
    last = rows[limit - 1].place if len(rows) > limit else None
    data = [CloudEvent.of(row) for row in rows[:limit] if row.is_final]
    return CloudEventPage(data=data, has_more=last is not None, next_cursor=_place(last) if last else None)


@router.post("/usage/adjustments", status_code=201)
async def create_adjustment(body: AdjustmentInput, parts: PartsOf, principal: Writer) -> AdjustmentOutput:
    """Corrects what was counted, with a reason. Final records stay as they are."""
    if principal.role is Role.CUSTOMER or principal.key_id is None:
        raise Problem("scope_missing", "A customer's own key adjusts no usage")
    assert body.meter in PERIOD_METERS
    customer = await get_customer(parts, principal, body.customer_id)
    hour = body.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    values = {
        "customer_id": customer.id,
        "meter": body.meter,
        "hour": hour,
        "amount": body.amount,
        "reason": body.reason,
    }
    return AdjustmentOutput.of(await parts.usage.adjust(parts.clock.new_id(), principal.key_id, values))


@router.get("/usage/adjustments")
async def list_adjustments(
    parts: PartsOf, principal: Reader, customer_id: str | None = None, limit: Limit = 20, cursor: Cursor = None
) -> Page[AdjustmentOutput]:
    """Corrections, newest first."""
    owner = await find_customer_id(parts, principal, customer_id)
    rows = await parts.usage.adjustments(principal, owner, read_cursor("adj", cursor), limit + 1)
    return page(rows, limit, AdjustmentOutput.of)


def _place(place: Place) -> str:
    customer, domain = public_id("cus", place.customer_id), public_id("dom", place.domain_id)
    return f"{int(place.start.timestamp())}-{customer}-{domain}-{place.meter}"


def _read_place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    seconds, customer, domain, meter = cursor.split("-")
    start = datetime.fromtimestamp(int(seconds), UTC)
    return Place(start, from_public_id("cus", customer), from_public_id("dom", domain), meter)
