"""POST and PUT /v1/customers: a customer, and in the same call its domains and a credential, as a biller provisions."""

import re
from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from pydantic import Field

from services.api.access import PartsOf
from services.api.credentials import MintedCredential, mint_credential
from services.api.customers import (
    CustomerOutput,
    Interval,
    Metadata,
    Writer,
    change_values,
    check_may_change,
    get_live_customer,
)
from services.api.domains import DomainOutput, host_domain
from services.api.errors import Problem
from services.api.parts import Parts
from services.api.plans import find_plan_id
from services.api.schemas import PROBLEMS, DomainText, Input, Line, read_domain_name
from services.api.versions import guarded
from shared.domain.access import Principal
from shared.domain.names import CustomerId
from shared.storage.customers import Customer

router = APIRouter(prefix="/v1/customers", tags=["customers"], responses=PROBLEMS)

#: `ext:` and the biller's own id, by which a customer may be made.
_EXTERNAL: Final = re.compile(r"ext:[^\x00-\x1f\x7f]{1,200}")
CustomerPath = Annotated[
    str, Path(examples=["ext:42"], description="`ext:` and your own id; or the id of one that is there")
]


class CustomerUpsert(Input):
    """A customer as it is to be. `plan_id` is a plan's id or its name. One that is expected every so many seconds is absent
    when it was not connected for that long, which the events tell. `domains` are hosted for it, those that are not yet;
    with `credential` it gets one, if it has none."""

    name: Line
    plan_id: Line | None = None
    metadata: Metadata = {}
    expected_every_seconds: Interval = None
    domains: Annotated[list[DomainText], Field(max_length=20)] = []
    credential: bool = False


class CustomerInput(CustomerUpsert):
    """A customer to make. `external_id` is the biller's own; `ext:` and it name the customer in every path."""

    external_id: Line | None = None


class ProvisionedCustomer(CustomerOutput):
    """A customer, and what this call made for it: domains, and a credential, whose secret is told this once."""

    domains: list[DomainOutput]
    credential: MintedCredential | None


@router.post("", status_code=201)
async def create_customer(body: CustomerInput, parts: PartsOf, principal: Writer) -> ProvisionedCustomer:
    """Makes a customer, owned by whoever makes it. When a domain or the credential cannot be made, nothing is."""
    check_may_change(principal)
    customer = await _create(parts, principal, body, body.external_id)
    try:
        return await _provisioned(parts, principal, customer, body)
    except BaseException:
        await parts.customers.undo(customer)
        raise


@router.put("/{customer_id}", responses={201: {"model": ProvisionedCustomer, "description": "It was made"}})
async def upsert_customer(
    customer_id: CustomerPath, body: CustomerUpsert, parts: PartsOf, principal: Writer, response: Response
) -> ProvisionedCustomer:
    """Makes the customer, or makes it what the body says. Twice is as once, and what was left half done is completed."""
    check_may_change(principal)
    external_id = customer_id.removeprefix("ext:")
    may_make = _EXTERNAL.fullmatch(customer_id) is not None
    if may_make and await parts.customers.find_external(principal, external_id) is None:
        response.status_code = 201
        customer = await _create(parts, principal, body, external_id)
    else:
        customer = await get_live_customer(parts, principal, customer_id)
        values = body.model_dump(exclude={"domains", "credential"})
        customer = await change_values(parts, principal, customer, values)
    return await _provisioned(parts, principal, customer, body)


async def _create(parts: Parts, principal: Principal, body: CustomerUpsert, external_id: str | None) -> Customer:
    values = body.model_dump(exclude={"plan_id", "domains", "credential"}) | {
        "plan_id": await find_plan_id(parts, principal, body.plan_id), "external_id": external_id,
    }  # fmt: skip
    with guarded():
        return await parts.customers.create(principal, CustomerId(parts.clock.new_id()), values)


async def _provisioned(
    parts: Parts, principal: Principal, customer: Customer, body: CustomerUpsert
) -> ProvisionedCustomer:
    made = []
    if body.domains and not principal.may("domains:write"):
        raise Problem("scope_missing", "The key does not have the scope domains:write")
    if body.credential and not principal.may("credentials:write"):
        raise Problem("scope_missing", "The key does not have the scope credentials:write")
    for name in dict.fromkeys(read_domain_name(text) for text in body.domains):
        known = await parts.domains.find_by_name(principal, name)
        if known is None or known.customer_id != customer.id:
            made.append(DomainOutput.of(await host_domain(parts, customer, name)))
    minted = None
    if body.credential and not await parts.credentials.page(principal, customer.id, None, 1):
        minted = await mint_credential(parts, principal, customer.id)
    return ProvisionedCustomer(**CustomerOutput.of(customer).model_dump(), domains=made, credential=minted)
