"""/v1/whoami: a test of the connection, as billing modules have one."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from services.api.access import principal_of
from services.api.schemas import PROBLEMS
from shared import VERSION
from shared.domain.access import Principal
from shared.domain.names import public_id

router = APIRouter(prefix="/v1", tags=["whoami"], responses=PROBLEMS)


class Whoami(BaseModel):
    """The key that asks."""

    role: str
    customer_id: str | None
    scopes: list[str]
    version: str


@router.get("/whoami")
async def whoami(principal: Annotated[Principal, Depends(principal_of)]) -> Whoami:
    """The key that asks, and the version that answers."""
    return Whoami(
        role=principal.role.value,
        customer_id=public_id("cus", principal.customer_id) if principal.customer_id else None,
        scopes=sorted(principal.scopes),
        version=VERSION,
    )
