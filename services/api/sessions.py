"""/v1/sessions: who is connected, who was, and what it got."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from services.api.access import PartsOf, needs
from services.api.customers import find_customer_id
from services.api.errors import Problem
from services.api.paging import Cursor, Limit, page, read_cursor, read_id
from services.api.schemas import PROBLEMS, Page, Shown, links_to
from shared.domain.access import Principal
from shared.domain.names import SessionId, public_id
from shared.storage.session_records import SessionRecord

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("sessions:read"))]
Writer = Annotated[Principal, Depends(needs("sessions:write"))]


class SessionOutput(Shown):
    """A turned session; it runs while `ended_at` is null. `is_live`: it stays on the line and is pushed to."""

    customer_id: str
    credential_id: str
    peer: str
    is_tls: bool
    mechanism: str
    domains: list[str]
    is_live: bool
    started_at: datetime
    ended_at: datetime | None
    sent_messages: int
    sent_bytes: int
    why_ended: str

    @classmethod
    def of(cls, record: SessionRecord) -> "SessionOutput":
        """From the spool's own value."""
        same = ("peer", "is_tls", "mechanism", "is_live", "started_at", "ended_at", "sent_messages", "sent_bytes")
        return cls(
            id=public_id("sess", record.id),
            customer_id=public_id("cus", record.customer_id),
            credential_id=public_id("cred", record.credential_id),
            domains=list(record.domains),
            why_ended=record.why_ended,
            **{name: getattr(record, name) for name in same},
        )


@router.get("", responses=links_to("session_id", "read_session", "disconnect_session"))
async def list_sessions(
    parts: PartsOf,
    principal: Reader,
    customer_id: str | None = None,
    running: Annotated[bool | None, Query(description="true: connected now; false: past; both if not said")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[SessionOutput]:
    """Sessions, newest first. Figures of a running one are written when it ends."""
    after = read_cursor("sess", cursor)
    owner = await find_customer_id(parts, principal, customer_id)
    rows = await parts.sessions.page(
        principal, owner, SessionId(after) if after else None, limit + 1, is_running=running
    )
    return page(rows, limit, SessionOutput.of)


@router.get("/{session_id}")
async def read_session(session_id: str, parts: PartsOf, principal: Reader) -> SessionOutput:
    """One session."""
    record = await parts.sessions.find(principal, SessionId(read_id("sess", session_id)))
    if record is None:
        raise Problem("not_found")
    return SessionOutput.of(record)


@router.post("/{session_id}/disconnect")
async def disconnect_session(session_id: str, parts: PartsOf, principal: Writer) -> SessionOutput:
    """Ends it within a third of the lease time. Twice is as once; the customer may call again."""
    record = await parts.sessions.find(principal, SessionId(read_id("sess", session_id)))
    if record is None:
        raise Problem("not_found")
    await parts.sessions.disconnect(record)
    return SessionOutput.of(record)
