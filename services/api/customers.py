"""/v1/customers."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends

from services.api.access import PartsOf, needs
from services.api.errors import Problem
from services.api.paging import Cursor, Limit, page, read_cursor, read_id
from services.api.parts import Parts
from services.api.schemas import PROBLEMS, Input, Line, Page, Shown
from shared.domain.access import Principal, Role
from shared.domain.names import CustomerId, public_id
from shared.storage.customers import Customer
from shared.storage.reading import Conflict

router = APIRouter(prefix="/v1/customers", tags=["customers"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("customers:read"))]
Writer = Annotated[Principal, Depends(needs("customers:write"))]


class CustomerInput(Input):
    """A customer to make. `external_id` is the biller's own; `ext:` and it name the customer in every path."""

    name: Line
    external_id: Line | None = None


class CustomerChange(Input):
    """What of a customer is to change; what is left out stays."""

    name: Line | None = None
    external_id: Line | None = None


class Suspension(Input):
    """Why a customer is suspended."""

    reason: Line


class CustomerOutput(Shown):
    """A customer. `suspended_for` is empty unless the state is suspended."""

    external_id: str | None
    name: str
    state: str
    suspended_for: str
    created_at: datetime

    @classmethod
    def of(cls, customer: Customer) -> "CustomerOutput":
        """From the spool's own value."""
        return cls(
            id=public_id("cus", customer.id),
            external_id=customer.external_id,
            name=customer.name,
            state=customer.state,
            suspended_for=customer.suspended_for,
            created_at=customer.created_at,
        )


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


def _no_customer_itself(principal: Principal) -> None:
    if principal.role is Role.CUSTOMER:
        raise Problem("scope_missing", "A customer's own key makes and changes no customers")


@router.post("", status_code=201)
async def create_customer(body: CustomerInput, parts: PartsOf, principal: Writer) -> CustomerOutput:
    """Makes a customer, owned by whoever makes it."""
    _no_customer_itself(principal)
    try:
        customer_id = CustomerId(parts.clock.new_id())
        return CustomerOutput.of(await parts.customers.create(principal, customer_id, body.name, body.external_id))
    except Conflict as error:
        raise Problem("conflict", str(error)) from None


@router.get("")
async def list_customers(
    parts: PartsOf, principal: Reader, limit: Limit = 20, cursor: Cursor = None
) -> Page[CustomerOutput]:
    """Customers, newest first."""
    after = read_cursor("cus", cursor)
    rows = await parts.customers.page(principal, CustomerId(after) if after else None, limit + 1)
    return page(rows, limit, CustomerOutput.of)


@router.get("/{customer_id}")
async def read_customer(customer_id: str, parts: PartsOf, principal: Reader) -> CustomerOutput:
    """One customer."""
    return CustomerOutput.of(await get_customer(parts, principal, customer_id))


@router.patch("/{customer_id}")
async def change_customer(customer_id: str, body: CustomerChange, parts: PartsOf, principal: Writer) -> CustomerOutput:
    """Changes what the body has, and nothing else."""
    _no_customer_itself(principal)
    customer = await get_customer(parts, principal, customer_id)
    try:
        return CustomerOutput.of(await parts.customers.change(customer, body.model_dump(exclude_none=True)))
    except Conflict as error:
        raise Problem("conflict", str(error)) from None


@router.post("/{customer_id}/suspend")
async def suspend_customer(customer_id: str, body: Suspension, parts: PartsOf, principal: Writer) -> CustomerOutput:
    """Keeps the customer's mail and gives none out: ATRN gets 450, and sessions that run end. Twice is as once."""
    _no_customer_itself(principal)
    customer = await get_customer(parts, principal, customer_id)
    return CustomerOutput.of(await parts.customers.suspend(customer, body.reason))


@router.post("/{customer_id}/resume")
async def resume_customer(customer_id: str, parts: PartsOf, principal: Writer) -> CustomerOutput:
    """Gives its mail out again. Twice is as once."""
    _no_customer_itself(principal)
    return CustomerOutput.of(await parts.customers.resume(await get_customer(parts, principal, customer_id)))
