"""/v1/customers: whose mail it is, from the first payment to the last."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field, WithJsonSchema

from services.api.access import PartsOf, needs
from services.api.errors import Problem
from services.api.paging import Cursor, Limit, page, read_cursor, read_id
from services.api.parts import Parts
from services.api.plans import find_plan_id
from services.api.schemas import PROBLEMS, Input, Line, Page, Shown, When
from services.api.versions import IfMatch, check_version, guarded, shown
from shared.domain.access import Principal, Role
from shared.domain.names import CustomerId, public_id
from shared.storage.customers import Customer, Holdings

router = APIRouter(prefix="/v1/customers", tags=["customers"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("customers:read"))]
Writer = Annotated[Principal, Depends(needs("customers:write"))]

_WORD = r"^[^\x00-\x1f\x7f]{1,40}$"
_TEXT = r"^[^\x00-\x1f\x7f]{0,500}$"
#: The biller's own notes, as Stripe has them. The schema says what pydantic's own does not: that no other key is taken.
Metadata = Annotated[
    dict[Annotated[str, Field(pattern=_WORD)], Annotated[str, Field(pattern=_TEXT)]],
    Field(max_length=50),
    WithJsonSchema({
        "type": "object", "maxProperties": 50, "propertyNames": {"type": "string", "pattern": _WORD},
        "additionalProperties": {"type": "string", "pattern": _TEXT},
    }),
]  # fmt: skip
#: Seconds: from a minute to ninety days.
Interval = Annotated[int | None, Field(ge=60, le=90 * 86_400)]


class CustomerChange(Input):
    """What of a customer is to change; what is left out stays, and null takes the plan or the interval away."""

    name: Line = ""
    external_id: Line | None = None
    plan_id: Line | None = None
    metadata: Metadata = {}
    expected_every_seconds: Interval = None


class Suspension(Input):
    """Why a customer is suspended, and what senders hear meanwhile: its mail is kept (hold), or 450, or 550. `until`: when
    it is resumed by itself; null when someone says so."""

    reason: Line
    receiving: Literal["hold", "tempfail", "reject"] = "hold"
    until: When | None = None


class Termination(Input):
    """When the mail that is kept is deleted; with `dry_run` nothing is done, and the counts are told."""

    purge_after_days: Annotated[int, Field(ge=0, le=60)] = 14
    dry_run: bool = False


class CustomerOutput(Shown):
    """A customer. `suspended_for` is empty unless it is suspended; a terminated one's mail is deleted at `purge_at`."""

    external_id: str | None
    name: str
    plan_id: str | None
    metadata: dict[str, str]
    state: str
    suspended_for: str
    receiving: str
    resume_at: datetime | None
    purge_at: datetime | None
    expected_every_seconds: int | None
    absent_since: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, customer: Customer) -> "CustomerOutput":
        """From the spool's own value."""
        same = {name: getattr(customer, name) for name in cls.model_fields if name not in ("id", "plan_id")}
        plan_id = public_id("plan", customer.plan_id) if customer.plan_id else None
        return cls(id=public_id("cus", customer.id), plan_id=plan_id, **same)


class HoldingsOutput(BaseModel):
    """What a customer has, exactly, now: `bytes` of the mail that is kept."""

    domains: int
    credentials: int
    messages: int
    bytes: int
    oldest_received_at: datetime | None

    @classmethod
    def of(cls, holdings: Holdings) -> "HoldingsOutput":
        """From the spool's own value."""
        return cls(
            domains=holdings.domains,
            credentials=holdings.credentials,
            messages=holdings.messages,
            bytes=holdings.octets,
            oldest_received_at=holdings.oldest_received_at,
        )


class TerminationOutput(BaseModel):
    """The customer as it is now, and what it has."""

    customer: CustomerOutput
    dry_run: bool
    holdings: HoldingsOutput


class StatusOutput(BaseModel):
    """For a page that the customer sees: whether it is connected, since when not, and what waits."""

    state: str
    is_connected: bool
    last_session_at: datetime | None
    holdings: HoldingsOutput


async def get_customer(parts: Parts, principal: Principal, text: str) -> Customer:
    """By `cus_...` or `ext:...`. Raises Problem not_found, also for what the principal may not see."""
    if text.startswith("ext:"):
        customer = None if "\0" in text else await parts.customers.find_external(principal, text[4:])
    else:
        customer = await parts.customers.find(principal, CustomerId(read_id("cus", text)))
    if customer is None:
        raise Problem("not_found")
    return customer


async def find_customer_id(parts: Parts, principal: Principal, text: str | None) -> CustomerId | None:
    """Of a list's filter `customer_id`; None where it is not asked."""
    return (await get_customer(parts, principal, text)).id if text is not None else None


def check_may_change(principal: Principal) -> None:
    """Raises Problem scope_missing for a customer's own key, whatever its scopes."""
    if principal.role is Role.CUSTOMER:
        raise Problem("scope_missing", "A customer's own key makes and changes no customers")


async def get_live_customer(parts: Parts, principal: Principal, text: str) -> Customer:
    """One that is not terminated, for what changes it."""
    check_may_change(principal)
    customer = await get_customer(parts, principal, text)
    if customer.state == "terminated":
        raise Problem("conflict", "The customer is terminated")
    return customer


async def change_values(parts: Parts, principal: Principal, customer: Customer, changes: dict[str, Any]) -> Customer:
    """Sets what differs. Raises Problem."""
    if "plan_id" in changes:
        changes["plan_id"] = await find_plan_id(parts, principal, changes["plan_id"])
    changes = {name: value for name, value in changes.items() if getattr(customer, name) != value}
    with guarded():
        return await parts.customers.change(customer, changes)


@router.get("")
async def list_customers(
    parts: PartsOf, principal: Reader, limit: Limit = 20, cursor: Cursor = None
) -> Page[CustomerOutput]:
    """Customers, newest first."""
    after = read_cursor("cus", cursor)
    rows = await parts.customers.page(principal, CustomerId(after) if after else None, limit + 1)
    return page(rows, limit, CustomerOutput.of)


@router.get("/{customer_id}")
async def read_customer(customer_id: str, parts: PartsOf, principal: Reader, response: Response) -> CustomerOutput:
    """One customer."""
    customer = await get_customer(parts, principal, customer_id)
    shown(response, customer.version)
    return CustomerOutput.of(customer)


@router.patch("/{customer_id}")
async def change_customer(
    customer_id: str,
    body: CustomerChange,
    parts: PartsOf,
    principal: Writer,
    response: Response,
    wanted: IfMatch = "*",
) -> CustomerOutput:
    """Changes what the body has, and nothing else."""
    customer = await get_live_customer(parts, principal, customer_id)
    check_version(customer.version, wanted)
    changed = await change_values(parts, principal, customer, body.model_dump(exclude_unset=True))
    shown(response, changed.version)
    return CustomerOutput.of(changed)


@router.post("/{customer_id}/suspend")
async def suspend_customer(customer_id: str, body: Suspension, parts: PartsOf, principal: Writer) -> CustomerOutput:
    """Keeps the customer's mail and gives none out: ATRN gets 450, and sessions that run end. Twice is as once."""
    customer = await get_live_customer(parts, principal, customer_id)
    with guarded():
        return CustomerOutput.of(await parts.customers.suspend(customer, body.reason, body.receiving, body.until))


@router.post("/{customer_id}/resume")
async def resume_customer(customer_id: str, parts: PartsOf, principal: Writer) -> CustomerOutput:
    """Gives its mail out again. Twice is as once."""
    customer = await get_live_customer(parts, principal, customer_id)
    with guarded():
        return CustomerOutput.of(await parts.customers.resume(customer))


@router.post("/{customer_id}/terminate")
async def terminate_customer(
    customer_id: str, body: Termination, parts: PartsOf, principal: Writer
) -> TerminationOutput:
    """Takes and gives no mail any more, ends every credential, and deletes what is kept after a time. Twice is as once."""
    check_may_change(principal)
    customer = await get_customer(parts, principal, customer_id)
    holdings = await parts.customers.holdings(customer)
    if not body.dry_run:
        with guarded():
            customer = await parts.customers.terminate(customer, timedelta(days=body.purge_after_days))
    return TerminationOutput(
        customer=CustomerOutput.of(customer), dry_run=body.dry_run, holdings=HoldingsOutput.of(holdings)
    )


@router.get("/{customer_id}/status")
async def read_status(customer_id: str, parts: PartsOf, principal: Reader) -> StatusOutput:
    """Whether it is connected, and what waits for it."""
    customer = await get_customer(parts, principal, customer_id)
    last = await parts.sessions.page(principal, customer.id, None, 1, is_running=None)
    running = last if last and last[0].ended_at is None else []
    if last and not running:  # an older one may go on
        running = await parts.sessions.page(principal, customer.id, None, 1, is_running=True)
    return StatusOutput(
        state=customer.state,
        is_connected=bool(running),
        last_session_at=last[0].started_at if last else None,
        holdings=HoldingsOutput.of(await parts.customers.holdings(customer)),
    )
