"""/v1/customers and /v1/whoami."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from services.api.access import PartsOf, needs, principal_of
from services.api.errors import Problem, ProblemBody
from services.api.paging import Limit, page, read_cursor
from services.api.parts import Parts
from services.api.schemas import CustomerInput, CustomerOutput, Page, Whoami
from shared import VERSION
from shared.domain.access import Principal
from shared.domain.names import BadName, CustomerId, from_public_id, public_id
from shared.storage.customers import Conflict, Customer

#: What OpenAPI says of errors, for every router.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {"model": ProblemBody, "content": {"application/problem+json": {}}, "description": "A problem"}
}

router = APIRouter(prefix="/v1", tags=["customers"], responses=PROBLEMS)


async def get_customer(parts: Parts, principal: Principal, text: str) -> Customer:
    """By `cus_...` or `ext:...`. Raises Problem not_found, also for what the principal may not see."""
    customer = None
    if text.startswith("ext:"):
        if "\0" not in text:
            customer = await parts.customers.find_external(principal, text[4:])
    else:
        try:
            customer = await parts.customers.find(principal, CustomerId(from_public_id("cus", text)))
        except BadName:
            customer = None
    if customer is None:
        raise Problem("not_found")
    return customer


@router.get("/whoami")
async def whoami(principal: Annotated[Principal, Depends(principal_of)]) -> Whoami:
    """The key that asks, and the version that answers: a test of the connection."""
    return Whoami(
        role=principal.role.value,
        customer_id=public_id("cus", principal.customer_id) if principal.customer_id else None,
        scopes=sorted(principal.scopes),
        version=VERSION,
    )


@router.post("/customers", status_code=201)
async def create_customer(
    body: CustomerInput, parts: PartsOf, principal: Annotated[Principal, Depends(needs("customers:write"))]
) -> CustomerOutput:
    """Makes a customer, owned by whoever makes it."""
    if principal.role.value == "customer":
        raise Problem("scope_missing", "A customer's key makes no customers")
    try:
        customer_id = CustomerId(parts.clock.new_id())
        return CustomerOutput.of(await parts.customers.create(principal, customer_id, body.name, body.external_id))
    except Conflict as error:
        raise Problem("conflict", str(error)) from None


@router.get("/customers")
async def list_customers(
    parts: PartsOf,
    principal: Annotated[Principal, Depends(needs("customers:read"))],
    limit: Limit = 20,
    cursor: str | None = None,
) -> Page[CustomerOutput]:
    """Customers, newest first."""
    after = read_cursor("cus", cursor)
    rows = await parts.customers.page(principal, CustomerId(after) if after else None, limit + 1)
    return page(rows, limit, CustomerOutput.of)


@router.get("/customers/{customer_id}")
async def read_customer(
    customer_id: str, parts: PartsOf, principal: Annotated[Principal, Depends(needs("customers:read"))]
) -> CustomerOutput:
    """One customer."""
    return CustomerOutput.of(await get_customer(parts, principal, customer_id))
