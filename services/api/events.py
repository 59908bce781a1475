"""/v1/events: the log of what happened, page by page or as it happens. It is the truth; webhooks are notices of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, Field

from services.api.access import PartsOf, bearer_of, needs
from services.api.customers import find_customer_id
from services.api.errors import Problem
from services.api.paging import Limit, read_id
from services.api.parts import Parts
from services.api.schemas import PROBLEMS, Page, Shown
from shared.domain.access import Principal
from shared.domain.names import public_id
from shared.storage.event_log import START, TYPES, Event, Position

router = APIRouter(prefix="/v1/events", tags=["events"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("events:read"))]
#: Seconds between two looks of a stream, and until a comment says that it is alive (proxies end what is silent for a minute).
LOOK_EVERY: Final = 1.0
ALIVE_EVERY: Final = 15.0
#: Streams at a time in one process; each costs a query a second.
MAX_STREAMS: Final = 100


def _is_type(name: str) -> str:
    if name not in TYPES:
        raise ValueError(f"there is no such event; there are {', '.join(TYPES)}")
    return name


EventType = Annotated[str, AfterValidator(_is_type), Field(json_schema_extra={"enum": list(TYPES)})]
TypeFilter = Annotated[
    list[EventType], Query(alias="type", max_length=50, description="only these; all if none is named")
]
#: The transaction and the id of the last event that was read.
_POSITION: Final = "^[0-9]{1,18}-[0-9a-f]{32}$"
EventCursor = Annotated[str | None, Query(description="next_cursor of the page before", pattern=_POSITION)]


class EventData(BaseModel):
    """What it happened to."""

    customer_id: str
    external_id: str | None
    message_id: str | None
    recipient_id: str | None
    session_id: str | None
    detail: str


class EventOutput(Shown):
    """Something that happened. More types and fields may come."""

    type: str
    timestamp: datetime
    data: EventData

    @classmethod
    def of(cls, event: Event) -> "EventOutput":
        """From the spool's own value."""
        data = EventData(
            customer_id=public_id("cus", event.customer_id),
            external_id=event.external_id,
            message_id=public_id("msg", event.message_id) if event.message_id else None,
            recipient_id=public_id("rcp", event.recipient_id) if event.recipient_id else None,
            session_id=public_id("sess", event.session_id) if event.session_id else None,
            detail=event.detail,
        )
        return cls(id=public_id("evt", event.id), type=event.type, timestamp=event.at, data=data)


@router.get("")
async def list_events(
    parts: PartsOf,
    principal: Reader,
    types: TypeFilter = [],  # noqa: B006 - FastAPI makes each its own
    customer_id: str | None = None,
    limit: Limit = 20,
    cursor: EventCursor = None,
) -> Page[EventOutput]:
    """Events, the oldest first, as one reads on: the last `next_cursor` stays good, also when there is nothing more yet."""
    after = _read_position(cursor) if cursor is not None else START
    owner = await find_customer_id(parts, principal, customer_id)
    rows = await parts.events.page(principal, after, types, owner, limit + 1)
    shown = rows[:limit]
    last = _position(shown[-1].position) if shown else cursor
    return Page(data=[EventOutput.of(row) for row in shown], has_more=len(rows) > limit, next_cursor=last)


@router.get("/stream", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def stream_events(
    request: Request,
    parts: PartsOf,
    principal: Reader,
    types: TypeFilter = [],  # noqa: B006
    last_event_id: Annotated[str | None, Header(pattern=_POSITION)] = None,
) -> StreamingResponse:
    """Events as they happen (Server-Sent Events); from Last-Event-ID on, or from now on. It ends with its key."""
    if request.app.state.streams >= MAX_STREAMS:
        raise Problem("unavailable", "There are too many streams; read pages instead")
    after = _read_position(last_event_id) if last_event_id is not None else await parts.events.now()
    return StreamingResponse(_stream(request, parts, principal, types, after), media_type="text/event-stream")


@router.get("/{event_id}")
async def read_event(event_id: str, parts: PartsOf, principal: Reader) -> EventOutput:
    """One event."""
    event = await parts.events.find(principal, read_id("evt", event_id))
    if event is None:
        raise Problem("not_found")
    return EventOutput.of(event)


async def _stream(
    request: Request, parts: Parts, principal: Principal, types: list[str], after: Position
) -> AsyncIterator[str]:
    request.app.state.streams += 1
    try:
        quiet = 0.0
        yield ": here\n\n"
        key = bearer_of(request)
        while not request.app.state.stopping.is_set() and await parts.keys.find(key) is not None:
            rows = await parts.events.page(principal, after, types, None, 100)
            for row in rows:
                after = row.position
                yield f"id: {_position(after)}\nevent: {row.type}\ndata: {EventOutput.of(row).model_dump_json()}\n\n"
            if not rows:
                quiet += LOOK_EVERY
                if quiet >= ALIVE_EVERY:
                    quiet = 0.0
                    yield ": here\n\n"
                await asyncio.sleep(LOOK_EVERY)
    finally:
        request.app.state.streams -= 1


def _position(position: Position) -> str:
    return f"{position.xid}-{position.id.hex}"


def _read_position(cursor: str) -> Position:
    xid, _, event_id = cursor.partition("-")
    return Position(int(xid), UUID(hex=event_id))
