"""/v1/domains: what mail is taken for, by which policies, and what waits."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from services.api.access import PartsOf, needs
from services.api.customers import find_customer_id, get_customer
from services.api.errors import Problem
from services.api.paging import Cursor, Limit, page, read_cursor, read_id
from services.api.parts import Parts
from services.api.schemas import MAX_INTEGER, PROBLEMS, DomainText, Input, Page, Shown, read_domain_name
from services.api.versions import IfMatch, check_version, guarded, shown
from shared.domain.access import Principal
from shared.domain.names import BadName, DomainId, DomainName, domain_name, public_id
from shared.protocol.grammar import MAX_LOCAL_PART
from shared.storage.customers import Customer
from shared.storage.domains import Domain, LimitReached

router = APIRouter(prefix="/v1/domains", tags=["domains"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("domains:read"))]
Writer = Annotated[Principal, Depends(needs("domains:write"))]

#: Recipients of one list: ours. A longer one is better asked for than copied.
MAX_RECIPIENTS = 10_000
LocalPart = Annotated[str, Field(min_length=1, max_length=MAX_LOCAL_PART, pattern=r"^[!-?A-~]+$")]
LocalPartCursor = Annotated[
    str | None, Query(description="next_cursor of the page before", max_length=MAX_LOCAL_PART, pattern=r"^[!-?A-~]+$")
]


class DomainInput(Input):
    """A domain to host for a customer."""

    customer_id: str
    name: DomainText


#: Policies that null takes away; null for another leaves it as it is.
_MAY_BE_NULL = frozenset({"retention_days", "max_messages", "max_bytes"})


class DomainChange(Input):
    """Policies to change; what is left out stays. Null for retention_days, max_messages or max_bytes takes it away."""

    fail_after_seconds: int | None = Field(default=None, ge=0, le=60 * 86_400)
    eight_bit: Literal["hold", "send"] | None = None
    unknown_recipients: Literal["accept", "reject"] | None = None
    learn_refusals_seconds: int | None = Field(default=None, ge=0, le=30 * 86_400)
    priority: int | None = Field(default=None, ge=0, le=9)
    retention_days: int | None = Field(default=None, ge=1, le=60)
    delay_notice_seconds: int | None = Field(default=None, ge=0, le=60 * 86_400)
    when_refused: Literal["fail", "hold"] | None = None
    max_messages: int | None = Field(default=None, ge=1, le=1 << 40)
    max_bytes: int | None = Field(default=None, ge=1, le=MAX_INTEGER)

    def changes(self) -> dict[str, Any]:
        """What was named, by the column's name."""
        named = self.model_dump(exclude_unset=True)
        return {name: value for name, value in named.items() if value is not None or name in _MAY_BE_NULL}


class RecipientList(Input):
    """The local parts that a domain knows; used where `unknown_recipients` is reject. Postmaster is known always."""

    local_parts: list[LocalPart] = Field(max_length=MAX_RECIPIENTS)


class RefusedRecipient(BaseModel):
    """Whom the customer's server did not know: what it said, and until when that is believed."""

    local_part: str
    reply: str
    until: datetime


class DomainOutput(Shown):
    """A domain.

    `fail_after_seconds`: how long a 5xx of the customer's server before the content bounces nothing. `eight_bit`: what
    becomes of 8-bit content where that server does not say that it takes it. `unknown_recipients`: of who is not in the list.
    `learn_refusals_seconds`: how long senders hear 550 at once for whom the customer's server did not know; 0 never.
    `priority`: 0 to 9; in a session the mail of domains with the highest goes first, from the next batch on.
    `retention_days`: when mail that nobody fetched expires, with a DSN; null as the plan says (14). `delay_notice_seconds`:
    when senders hear that their mail still waits; 0 never. `when_refused`: fail, with a DSN, or hold what that server refuses
    for good. `max_messages`, `max_bytes`: what may wait before senders hear 452; null for no limit.
    """

    customer_id: str
    name: str
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

    @classmethod
    def of(cls, domain: Domain) -> "DomainOutput":
        """From the spool's own value."""
        same = {
            name: getattr(domain, name) for name in Domain.__slots__ if name not in ("id", "customer_id", "version")
        }
        return cls(id=public_id("dom", domain.id), customer_id=public_id("cus", domain.customer_id), **same)


async def get_domain(parts: Parts, principal: Principal, text: str) -> Domain:
    """By `dom_...` or by its name. Raises Problem not_found, also for what the principal may not see."""
    if text.startswith("dom_"):
        domain = await parts.domains.find(principal, DomainId(read_id("dom", text)))
    else:
        try:
            domain = await parts.domains.find_by_name(principal, domain_name(text))
        except BadName:
            domain = None
    if domain is None:
        raise Problem("not_found")
    return domain


@router.post("", status_code=201)
async def create_domain(body: DomainInput, parts: PartsOf, principal: Writer) -> DomainOutput:
    """Hosts a domain for a customer: from now on its mail is taken."""
    customer = await get_customer(parts, principal, body.customer_id)
    if customer.state == "terminated":
        raise Problem("conflict", "The customer is terminated")
    return DomainOutput.of(await host_domain(parts, customer, read_domain_name(body.name)))


async def host_domain(parts: Parts, customer: Customer, name: DomainName) -> Domain:
    """A new domain of a customer that the caller may change. Raises Problem conflict and limit_reached."""
    try:
        with guarded():
            return await parts.domains.create(DomainId(parts.clock.new_id()), customer.id, name)
    except LimitReached as error:
        raise Problem("limit_reached", str(error)) from None


@router.get("")
async def list_domains(
    parts: PartsOf, principal: Reader, customer_id: str | None = None, limit: Limit = 20, cursor: Cursor = None
) -> Page[DomainOutput]:
    """Domains, newest first."""
    after = read_cursor("dom", cursor)
    owner = await find_customer_id(parts, principal, customer_id)
    rows = await parts.domains.page(principal, owner, DomainId(after) if after else None, limit + 1)
    return page(rows, limit, DomainOutput.of)


@router.get("/{domain_id}")
async def read_domain(domain_id: str, parts: PartsOf, principal: Reader, response: Response) -> DomainOutput:
    """One domain, by id or by name."""
    domain = await get_domain(parts, principal, domain_id)
    shown(response, domain.version)
    return DomainOutput.of(domain)


@router.patch("/{domain_id}")
async def change_domain(
    domain_id: str, body: DomainChange, parts: PartsOf, principal: Writer, response: Response, wanted: IfMatch = "*"
) -> DomainOutput:
    """Changes policies."""
    domain = await get_domain(parts, principal, domain_id)
    check_version(domain.version, wanted)
    with guarded():
        changed = await parts.domains.change(domain, body.changes())
    shown(response, changed.version)
    return DomainOutput.of(changed)


@router.delete("/{domain_id}", status_code=204)
async def remove_domain(domain_id: str, parts: PartsOf, principal: Writer) -> None:
    """Takes no more mail for it. Not while some is kept: that would never be given out."""
    domain = await get_domain(parts, principal, domain_id)
    with guarded():
        await parts.domains.remove(domain)


@router.get("/{domain_id}/recipients")
async def read_recipients(domain_id: str, parts: PartsOf, principal: Reader) -> RecipientList:
    """The local parts that it knows."""
    domain = await get_domain(parts, principal, domain_id)
    return RecipientList(local_parts=await parts.domains.recipients_of(domain.id))


@router.get("/{domain_id}/refused_recipients")
async def list_refused_recipients(
    domain_id: str, parts: PartsOf, principal: Reader, limit: Limit = 20, cursor: LocalPartCursor = None
) -> Page[RefusedRecipient]:
    """Whom the customer's server did not know, by name, until they are forgotten: senders hear 550 at once."""
    domain = await get_domain(parts, principal, domain_id)
    rows = await parts.domains.refused_of(domain.id, cursor or "", limit + 1)
    shown = [RefusedRecipient(local_part=one.local_part, reply=one.reply, until=one.until) for one in rows[:limit]]
    has_more = len(rows) > limit
    return Page(data=shown, has_more=has_more, next_cursor=shown[-1].local_part if has_more else None)


@router.delete("/{domain_id}/refused_recipients", status_code=204)
async def forget_refused_recipients(
    domain_id: str, parts: PartsOf, principal: Writer, local_part: LocalPart | None = None
) -> None:
    """Forgets one, or all: senders are heard again."""
    domain = await get_domain(parts, principal, domain_id)
    await parts.domains.forget_refused(domain.id, local_part)


@router.put("/{domain_id}/recipients")
async def set_recipients(domain_id: str, body: RecipientList, parts: PartsOf, principal: Writer) -> RecipientList:
    """Puts this list in place of the old one."""
    domain = await get_domain(parts, principal, domain_id)
    await parts.domains.set_recipients(domain.id, body.local_parts)
    return RecipientList(local_parts=await parts.domains.recipients_of(domain.id))
