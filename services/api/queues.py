"""/v1/domains/{id}/queue: what waits for a domain, and what an operator does with all of it."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from services.api.access import PartsOf, needs
from services.api.domains import get_domain
from services.api.parts import Parts
from services.api.schemas import MAX_TOLD, PROBLEMS, Reason
from shared.domain.access import Principal
from shared.storage.domains import Domain, QueueFigures
from shared.storage.handling import HOLD_TIME, MAX_HOLD, Handling

router = APIRouter(prefix="/v1/domains/{domain_id}/queue", tags=["queue"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("domains:read"))]
Writer = Annotated[Principal, Depends(needs("messages:write"))]


class QueueOutput(BaseModel):
    """What waits for a domain, by state; `oldest_received_at` of what is queued or leased."""

    domain: str
    messages: dict[str, int]
    bytes: dict[str, int]
    oldest_received_at: datetime | None

    @classmethod
    def of(cls, domain: Domain, figures: QueueFigures) -> "QueueOutput":
        """From the spool's own values."""
        return cls(
            domain=domain.name,
            messages=figures.messages,
            bytes=figures.octets,
            oldest_received_at=figures.oldest_received_at,
        )


class QueueAction(Reason):
    """Why; with `dry_run` nothing is done, and what would be is told."""

    dry_run: bool = False


class QueueHold(QueueAction):
    """`seconds`: when it is released by itself; 14 days where it is left out. What is held does not expire meanwhile."""

    seconds: int = Field(default=int(HOLD_TIME.total_seconds()), ge=1, le=int(MAX_HOLD.total_seconds()))


class MovedOutput(BaseModel):
    """How many recipients it moved, or would move, exactly, and their octets."""

    recipients: int
    bytes: int
    dry_run: bool


@router.get("")
async def read_queue(domain_id: str, parts: PartsOf, principal: Reader) -> QueueOutput:
    """What waits for the domain."""
    domain = await get_domain(parts, principal, domain_id)
    return QueueOutput.of(domain, await parts.domains.queue(domain.id))


async def _handle_queue(
    parts: Parts, principal: Principal, text: str, handling: Handling, body: QueueAction, reason: str = ""
) -> MovedOutput:
    domain = await get_domain(parts, principal, text)
    until = timedelta(seconds=body.seconds) if isinstance(body, QueueHold) else HOLD_TIME
    moved = await parts.handlings.handle_queue(
        principal, domain.id, handling, reason or body.reason, until, dry_run=body.dry_run
    )
    return MovedOutput(recipients=moved.recipients, bytes=moved.octets, dry_run=body.dry_run)


@router.post("/hold")
async def hold_queue(domain_id: str, body: QueueHold, parts: PartsOf, principal: Writer) -> MovedOutput:
    """Keeps all that waits from its customer until a time; what comes later is not held."""
    return await _handle_queue(parts, principal, domain_id, Handling.HOLD, body)


@router.post("/release")
async def release_queue(domain_id: str, body: QueueAction, parts: PartsOf, principal: Writer) -> MovedOutput:
    """Queues again all that is held, by whomever."""
    return await _handle_queue(parts, principal, domain_id, Handling.RELEASE, body)


@router.post("/retry")
async def retry_queue(domain_id: str, body: QueueAction, parts: PartsOf, principal: Writer) -> MovedOutput:
    """Ends the back-off of all that waits."""
    return await _handle_queue(parts, principal, domain_id, Handling.RETRY, body)


@router.post("/bounce")
async def bounce_queue(domain_id: str, body: QueueAction, parts: PartsOf, principal: Writer) -> MovedOutput:
    """Gives up: each sender gets a DSN with this reason. Not for what a session is sending now. There is no way back."""
    reason = f"550 5.7.1 {body.reason[:MAX_TOLD]}"
    return await _handle_queue(parts, principal, domain_id, Handling.BOUNCE, body, reason)


@router.post("/purge")
async def purge_queue(domain_id: str, body: QueueAction, parts: PartsOf, principal: Writer) -> MovedOutput:
    """Throws it away; nobody is told. Not for what a session is sending now. There is no way back."""
    return await _handle_queue(parts, principal, domain_id, Handling.DELETE, body)
