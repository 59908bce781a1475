"""/v1/messages: what the spool holds, and what happened to each message."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from services.api.access import PartsOf, needs
from services.api.customers import find_customer_id
from services.api.errors import Problem
from services.api.paging import Cursor, Limit, page, read_cursor, read_id
from services.api.parts import Parts
from services.api.schemas import (
    MAX_TOLD,
    PROBLEMS,
    DomainText,
    Page,
    Reason,
    Shown,
    When,
    links_to,
    read_domain_name,
)
from shared.domain.access import Principal
from shared.domain.names import MessageId, public_id
from shared.storage.handling import HOLD_TIME, MAX_HOLD, Handling
from shared.storage.messages import Filter, Moment, ShownMessage, ShownRecipient

router = APIRouter(prefix="/v1/messages", tags=["messages"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("messages:read"))]
Writer = Annotated[Principal, Depends(needs("messages:write"))]
#: A scope of its own: who counts mail need not read it.
ContentReader = Annotated[Principal, Depends(needs("messages:content"))]
_OF_ONE = (
    "read_message",
    "read_content",
    "hold_message",
    "release_message",
    "retry_message",
    "bounce_message",
    "delete_message",
)
State = Literal["queued", "leased", "delivered", "failed", "expired", "held", "deleted"]
ReversePath = Annotated[
    str | None, Query(max_length=320, pattern=r"^[^\x00-\x1f\x7f]*$", description="exactly; empty for the null one")
]


class RecipientOutput(BaseModel):
    """One forward-path and where it stands; attempts, next_at and is_uncertain are null once it has left the spool."""

    forward_path: str
    state: str
    attempts: int | None
    next_at: datetime | None
    is_uncertain: bool | None
    last_reply: str

    @classmethod
    def of(cls, recipient: ShownRecipient) -> "RecipientOutput":
        """From the spool's own value."""
        return cls(**{name: getattr(recipient, name) for name in ShownRecipient.__slots__})


class MomentOutput(BaseModel):
    """Something that happened: to which forward-path, in which session, and the reply that was heard."""

    at: datetime
    type: str
    forward_path: str
    session_id: str | None
    detail: str

    @classmethod
    def of(cls, moment: Moment) -> "MomentOutput":
        """From the spool's own value."""
        return cls(
            at=moment.at,
            type=moment.type,
            forward_path=moment.forward_path,
            session_id=public_id("sess", moment.session_id) if moment.session_id else None,
            detail=moment.detail,
        )


class MessageOutput(Shown):
    """A message; reverse_path and size are null once it has left the spool."""

    reverse_path: str | None
    size: int | None
    received_at: datetime
    recipients: list[RecipientOutput]

    @classmethod
    def of(cls, message: ShownMessage) -> "MessageOutput":
        """From the spool's own value."""
        return cls(
            id=public_id("msg", message.id),
            reverse_path=message.reverse_path,
            size=message.size,
            received_at=message.received_at,
            recipients=[RecipientOutput.of(one) for one in message.recipients],
        )


class HoldInput(Reason):
    """`seconds`: when it is released by itself; 14 days where it is left out. What is held does not expire meanwhile."""

    seconds: int = Field(default=int(HOLD_TIME.total_seconds()), ge=1, le=int(MAX_HOLD.total_seconds()))


class HandledOutput(BaseModel):
    """How many recipients it moved: those that were in a state from which it leads."""

    recipients: int


class TracedMessage(MessageOutput):
    """A message and what happened to it, in order."""

    timeline: list[MomentOutput]


@router.get("", responses=links_to("message_id", *_OF_ONE))
async def list_messages(
    parts: PartsOf,
    principal: Reader,
    customer_id: str | None = None,
    domain: DomainText | None = None,
    state: State | None = None,
    reverse_path: ReversePath = None,
    since: When | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[MessageOutput]:
    """Messages that the spool holds, newest first."""
    after = read_cursor("msg", cursor)
    name = read_domain_name(domain) if domain is not None else None
    wanted = Filter(await find_customer_id(parts, principal, customer_id), name, state, reverse_path, since)
    rows = await parts.messages.page(principal, wanted, MessageId(after) if after else None, limit + 1)
    return page(rows, limit, MessageOutput.of)


@router.get("/{message_id}")
async def read_message(message_id: str, parts: PartsOf, principal: Reader) -> TracedMessage:
    """One message and its timeline, also when it has left the spool."""
    message = await parts.messages.find(principal, MessageId(read_id("msg", message_id)))
    if message is None:
        raise Problem("not_found")
    timeline = [MomentOutput.of(moment) for moment in message.timeline]
    return TracedMessage(timeline=timeline, **MessageOutput.of(message).model_dump())


@router.get(
    "/{message_id}/raw",
    response_class=StreamingResponse,
    responses={200: {"content": {"message/rfc822": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def read_content(message_id: str, parts: PartsOf, principal: ContentReader) -> StreamingResponse:
    """The content, octet by octet as it came: to rescue mail by hand, and to look into what is held."""
    found = MessageId(read_id("msg", message_id))
    size = await parts.messages.size(principal, found)
    if size is None:
        raise Problem("not_found")
    headers = {"Content-Length": str(size), "Content-Disposition": f'attachment; filename="{message_id}.eml"'}
    return StreamingResponse(parts.messages.content(found), media_type="message/rfc822", headers=headers)


async def _handle(
    parts: Parts, principal: Principal, message_id: str, handling: Handling, body: Reason, until: timedelta = HOLD_TIME
) -> HandledOutput:
    found = MessageId(read_id("msg", message_id))
    moved = await parts.handlings.handle(principal, found, handling, body.reason, until)
    if not moved and await parts.messages.find(principal, found) is None:
        raise Problem("not_found")
    return HandledOutput(recipients=moved)


@router.post("/{message_id}/hold")
async def hold_message(message_id: str, body: HoldInput, parts: PartsOf, principal: Writer) -> HandledOutput:
    """Keeps it from its customer until a time."""
    return await _handle(parts, principal, message_id, Handling.HOLD, body, timedelta(seconds=body.seconds))


@router.post("/{message_id}/release")
async def release_message(message_id: str, body: Reason, parts: PartsOf, principal: Writer) -> HandledOutput:
    """Queues again what is held, by whomever."""
    return await _handle(parts, principal, message_id, Handling.RELEASE, body)


@router.post("/{message_id}/retry")
async def retry_message(message_id: str, body: Reason, parts: PartsOf, principal: Writer) -> HandledOutput:
    """Ends its back-off: it is due now."""
    return await _handle(parts, principal, message_id, Handling.RETRY, body)


@router.post("/{message_id}/bounce")
async def bounce_message(message_id: str, body: Reason, parts: PartsOf, principal: Writer) -> HandledOutput:
    """Gives up: its sender gets a DSN with this reason. Not for what a session is sending now."""
    told = Reason(reason=f"550 5.7.1 {body.reason[:MAX_TOLD]}")
    return await _handle(parts, principal, message_id, Handling.BOUNCE, told)


@router.post("/{message_id}/delete")
async def delete_message(message_id: str, body: Reason, parts: PartsOf, principal: Writer) -> HandledOutput:
    """Throws it away; nobody is told. Not for what a session is sending now."""
    return await _handle(parts, principal, message_id, Handling.DELETE, body)
