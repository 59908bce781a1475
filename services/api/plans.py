"""/v1/plans: limits that many customers share."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from services.api.access import PartsOf, needs
from services.api.errors import Problem
from services.api.paging import Cursor, Limit, page, read_cursor, read_id
from services.api.parts import Parts
from services.api.schemas import MAX_INTEGER, PROBLEMS, Input, Line, Page, Shown
from services.api.versions import IfMatch, check_version, guarded, shown
from shared.domain.access import Principal, Role
from shared.domain.lease import MAX_SESSIONS
from shared.domain.names import public_id
from shared.storage.plans import Plan

router = APIRouter(prefix="/v1/plans", tags=["plans"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("plans:read"))]
Writer = Annotated[Principal, Depends(needs("plans:write"))]

Days = Annotated[int, Field(ge=4, le=60)]
Domains = Annotated[int | None, Field(ge=1, le=1_000_000)]
Amount = Annotated[int | None, Field(ge=1, le=MAX_INTEGER)]
PerHour = Annotated[int | None, Field(ge=1, le=1_000_000_000)]
SessionCount = Annotated[int | None, Field(ge=1, le=MAX_SESSIONS)]


class PlanInput(Input):
    """A plan to make. Null or left out: no limit but our own."""

    name: Line
    retention_days: Days = 14
    max_domains: Domains = None
    max_messages: Amount = None
    max_bytes: Amount = None
    max_sessions: SessionCount = None
    max_message_bytes: Amount = None
    max_messages_per_hour: PerHour = None


class PlanChange(Input):
    """What of a plan is to change; what is left out stays, null takes a limit away."""

    name: Line = ""
    retention_days: Days = 14
    max_domains: Domains = None
    max_messages: Amount = None
    max_bytes: Amount = None
    max_sessions: SessionCount = None
    max_message_bytes: Amount = None
    max_messages_per_hour: PerHour = None


class PlanOutput(Shown):
    """A plan. `max_messages` and `max_bytes` bound what may wait for all domains of a customer, `max_message_bytes` one
    message (senders hear 552), `max_messages_per_hour` what senders bring in an hour by the clock (450: it comes later)."""

    name: str
    retention_days: int
    max_domains: int | None
    max_messages: int | None
    max_bytes: int | None
    max_sessions: int | None
    max_message_bytes: int | None
    max_messages_per_hour: int | None
    created_at: datetime

    @classmethod
    def of(cls, plan: Plan) -> "PlanOutput":
        """From the spool's own value."""
        return cls(
            id=public_id("plan", plan.id), **{name: getattr(plan, name) for name in cls.model_fields if name != "id"}
        )


async def get_plan(parts: Parts, principal: Principal, text: str) -> Plan:
    """By `plan_...` or by its name. Raises Problem not_found, also for what the principal may not see."""
    if text.startswith("plan_"):
        plan = await parts.plans.find(principal, read_id("plan", text))
    else:
        plan = None if "\0" in text else await parts.plans.find_by_name(principal, text)
    if plan is None:
        raise Problem("not_found")
    return plan


async def find_plan_id(parts: Parts, principal: Principal, text: str | None) -> UUID | None:
    """Of a body's `plan_id`: an id or a name, or None. Raises Problem invalid_value."""
    if text is None:
        return None
    try:
        return (await get_plan(parts, principal, text)).id
    except Problem:
        raise Problem("invalid_value", f"There is no plan {text}") from None


async def _mine(parts: Parts, principal: Principal, text: str) -> Plan:
    plan = await get_plan(parts, principal, text)
    if not await parts.plans.owns(principal, plan):
        raise Problem("scope_missing", "Only who made a plan changes it")
    return plan


@router.post("", status_code=201)
async def create_plan(body: PlanInput, parts: PartsOf, principal: Writer) -> PlanOutput:
    """Makes a plan, owned by whoever makes it."""
    if principal.role is Role.CUSTOMER:
        raise Problem("scope_missing", "A customer's own key makes no plans")
    with guarded():
        return PlanOutput.of(await parts.plans.create(principal, parts.clock.new_id(), body.model_dump()))


@router.get("")
async def list_plans(parts: PartsOf, principal: Reader, limit: Limit = 20, cursor: Cursor = None) -> Page[PlanOutput]:
    """Plans, newest first."""
    rows = await parts.plans.page(principal, read_cursor("plan", cursor), limit + 1)
    return page(rows, limit, PlanOutput.of)


@router.get("/{plan_id}")
async def read_plan(plan_id: str, parts: PartsOf, principal: Reader, response: Response) -> PlanOutput:
    """One plan, by id or by name."""
    plan = await get_plan(parts, principal, plan_id)
    shown(response, plan.version)
    return PlanOutput.of(plan)


@router.patch("/{plan_id}")
async def change_plan(
    plan_id: str, body: PlanChange, parts: PartsOf, principal: Writer, response: Response, wanted: IfMatch = "*"
) -> PlanOutput:
    """Changes what the body has, for all customers that have the plan."""
    plan = await _mine(parts, principal, plan_id)
    check_version(plan.version, wanted)
    changes: dict[str, Any] = body.model_dump(exclude_unset=True)
    with guarded():
        changed = await parts.plans.change(plan, changes)
    shown(response, changed.version)
    return PlanOutput.of(changed)


@router.delete("/{plan_id}", status_code=204)
async def remove_plan(plan_id: str, parts: PartsOf, principal: Writer) -> None:
    """Not while customers have it."""
    plan = await _mine(parts, principal, plan_id)
    with guarded():
        await parts.plans.remove(plan)
