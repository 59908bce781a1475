"""/v1/domains and a domain's queue."""

from typing import Annotated

from fastapi import APIRouter, Depends

from services.api.access import PartsOf, needs
from services.api.customers import PROBLEMS, get_customer
from services.api.errors import Problem
from services.api.paging import Limit, page, read_cursor
from services.api.parts import Parts
from services.api.schemas import DomainInput, DomainOutput, Page, QueueOutput
from shared.domain.access import Principal
from shared.domain.names import BadName, DomainId, DomainName, domain_name, from_public_id
from shared.storage.customers import Conflict, Domain

router = APIRouter(prefix="/v1/domains", tags=["domains"], responses=PROBLEMS)


async def get_domain(parts: Parts, principal: Principal, text: str) -> Domain:
    """By `dom_...` or by its name. Raises Problem not_found, also for what the principal may not see."""
    domain = None
    try:
        if text.startswith("dom_"):
            domain = await parts.customers.find_domain(principal, DomainId(from_public_id("dom", text)))
        else:
            domain = await parts.customers.find_domain_by_name(principal, domain_name(text))
    except BadName:
        domain = None
    if domain is None:
        raise Problem("not_found")
    return domain


@router.post("", status_code=201)
async def create_domain(
    body: DomainInput, parts: PartsOf, principal: Annotated[Principal, Depends(needs("domains:write"))]
) -> DomainOutput:
    """Hosts a domain for a customer: from now on its mail is taken."""
    customer = await get_customer(parts, principal, body.customer_id)
    try:
        domain_id = DomainId(parts.clock.new_id())
        return DomainOutput.of(await parts.customers.create_domain(domain_id, customer.id, DomainName(body.name)))
    except Conflict as error:
        raise Problem("conflict", str(error)) from None


@router.get("")
async def list_domains(
    parts: PartsOf,
    principal: Annotated[Principal, Depends(needs("domains:read"))],
    limit: Limit = 20,
    cursor: str | None = None,
) -> Page[DomainOutput]:
    """Domains, newest first."""
    after = read_cursor("dom", cursor)
    rows = await parts.customers.domains_page(principal, DomainId(after) if after else None, limit + 1)
    return page(rows, limit, DomainOutput.of)


@router.get("/{domain_id}")
async def read_domain(
    domain_id: str, parts: PartsOf, principal: Annotated[Principal, Depends(needs("domains:read"))]
) -> DomainOutput:
    """One domain."""
    return DomainOutput.of(await get_domain(parts, principal, domain_id))


@router.get("/{domain_id}/queue")
async def read_queue(
    domain_id: str, parts: PartsOf, principal: Annotated[Principal, Depends(needs("domains:read"))]
) -> QueueOutput:
    """What waits for the domain."""
    domain = await get_domain(parts, principal, domain_id)
    return QueueOutput.of(domain, await parts.customers.queue(domain.id))
