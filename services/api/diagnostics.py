"""GET /v1/diagnostics: the parts that the API stands on, as it sees them now, for an operator and `odmr doctor`."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from services.api.access import PartsOf, needs
from services.api.errors import Problem
from services.api.schemas import PROBLEMS
from shared import VERSION
from shared.domain.access import Principal, Role
from shared.storage.diagnostics import newest_schema

router = APIRouter(prefix="/v1", tags=["diagnostics"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("diagnostics:read"))]


class Diagnosis(BaseModel):
    """`schema_version` is the database's, `schema_wanted` what this version is for. `sessions` are turned. Without the bus
    mail waits for the poll, and nobody can log in."""

    version: str
    schema_version: str
    schema_wanted: str
    database_version: str
    database_bytes: int
    bus_connected: bool
    sessions: int
    webhooks_disabled: int


@router.get("/diagnostics")
async def read_diagnostics(parts: PartsOf, principal: Reader) -> Diagnosis:
    """How the parts are that the API stands on. For operators; queues and rates are in the figures of each service."""
    if principal.role is not Role.OPERATOR:
        raise Problem("not_found")
    found = await parts.diagnostics.look()
    return Diagnosis(
        version=VERSION,
        schema_version=found.schema_version,
        schema_wanted=newest_schema(),
        database_version=found.server_version,
        database_bytes=found.octets,
        bus_connected=parts.bus.is_connected,
        sessions=found.sessions,
        webhooks_disabled=found.webhooks_disabled,
    )
