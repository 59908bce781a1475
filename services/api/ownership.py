"""/v1/domains/{id}/dns and verify: what the DNS must say for a domain, what it says, and what to paste."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from services.api.access import PartsOf, needs
from services.api.domains import DomainOutput, get_domain
from services.api.errors import Problem
from services.api.parts import Parts
from services.api.schemas import PROBLEMS
from services.api.versions import guarded
from shared.domain.access import Principal
from shared.domain.names import public_id
from shared.resolve import CannotResolve, NoSuchDomain
from shared.storage.domains import Domain

router = APIRouter(prefix="/v1/domains/{domain_id}", tags=["dns"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("domains:read"))]
Writer = Annotated[Principal, Depends(needs("domains:write"))]


class RecordOutput(BaseModel):
    """One record: what is expected and what is there. `why` says what is wrong, and is empty where nothing is."""

    type: str
    name: str
    expected: str
    observed: list[str]
    ok: bool
    why: str


class DnsOutput(BaseModel):
    """The records of a domain, and the lines of a zone file that make them right."""

    domain: str
    verified_at: datetime | None
    ok: bool
    records: list[RecordOutput]
    zone: str


def _token(domain: Domain) -> str:
    """The id has 62 random bits, and is told to nobody but who may see the domain."""
    return f"odmr={public_id('dom', domain.id)}"


async def _ownership(parts: Parts, domain: Domain) -> RecordOutput:
    name, expected = f"_odmr.{domain.name}", _token(domain)
    try:
        observed, why = await parts.resolver.texts(name), ""
    except CannotResolve as error:
        observed, why = [], f"the DNS does not answer: {error}"
    ok = expected in observed
    missing = f"the record is not there; {'another is' if observed else 'nothing is'}"
    return RecordOutput(
        type="TXT", name=name, expected=expected, observed=observed, ok=ok, why="" if ok else why or missing
    )


async def _mail(parts: Parts, domain: Domain) -> RecordOutput:
    try:
        observed, why = await parts.resolver.mail_hosts(domain.name), ""
    except (CannotResolve, NoSuchDomain) as error:
        observed, why = [], str(error)
    ok = parts.calls.hostname in observed
    elsewhere = f"mail goes to {', '.join(observed)}, and not to {parts.calls.hostname}"
    return RecordOutput(
        type="MX",
        name=domain.name,
        expected=parts.calls.hostname,
        observed=observed,
        ok=ok,
        why="" if ok else why or elsewhere,
    )


@router.get("/dns")
async def read_dns(domain_id: str, parts: PartsOf, principal: Reader) -> DnsOutput:
    """What the DNS says now, record by record, against what it must say."""
    domain = await get_domain(parts, principal, domain_id)
    records = [await _mail(parts, domain), await _ownership(parts, domain)]
    zone = (
        f'{domain.name}. 3600 IN MX 10 {parts.calls.hostname}.\n_odmr.{domain.name}. 3600 IN TXT "{_token(domain)}"\n'
    )
    ok = all(record.ok for record in records)
    return DnsOutput(domain=domain.name, verified_at=domain.verified_at, ok=ok, records=records, zone=zone)


@router.post("/verify")
async def verify_domain(domain_id: str, parts: PartsOf, principal: Writer) -> DomainOutput:
    """Looks for the TXT record that shows whose the domain is. Once it was seen the domain is verified for good."""
    domain = await get_domain(parts, principal, domain_id)
    if domain.verified_at is None:
        record = await _ownership(parts, domain)
        if not record.ok:
            raise Problem("conflict", f"{record.name} must have the TXT record {record.expected}: {record.why}")
        with guarded():
            domain = await parts.domains.verify(domain)
    return DomainOutput.of(domain)
