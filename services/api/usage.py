"""/v1/usage: what was counted, by customer, domain and meter."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel

from services.api.access import PartsOf, needs
from services.api.customers import find_customer_id
from services.api.schemas import PROBLEMS
from shared.domain.access import Principal
from shared.domain.names import public_id
from shared.storage.usage import Metered

router = APIRouter(prefix="/v1/usage", tags=["usage"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("usage:read"))]


class MeteredOutput(BaseModel):
    """One meter of one domain: messages_received, bytes_received, messages_delivered, bytes_delivered, messages_expired."""

    customer_id: str
    domain: str | None
    meter: str
    amount: int

    @classmethod
    def of(cls, metered: Metered) -> "MeteredOutput":
        """From the spool's own value."""
        return cls(
            customer_id=public_id("cus", metered.customer_id),
            domain=metered.domain,
            meter=metered.meter,
            amount=metered.amount,
        )


class UsageOutput(BaseModel):
    """All meters that the key may see."""

    data: list[MeteredOutput]


@router.get("")
async def read_usage(
    parts: PartsOf,
    principal: Reader,
    customer_id: str | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> UsageOutput:
    """Totals of whole hours; of all time where none are named."""
    owner = await find_customer_id(parts, principal, customer_id)
    rows = await parts.usage.totals(principal, owner, since, until)
    return UsageOutput(data=[MeteredOutput.of(row) for row in rows])
