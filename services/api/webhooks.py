"""/v1/webhook_endpoints: URLs that hear of events as they happen. The log (/v1/events) is the truth."""

import base64
import secrets
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from services.api.access import PartsOf, needs
from services.api.errors import Problem
from services.api.events import EventType
from services.api.paging import Cursor, Limit, page, read_cursor, read_id
from services.api.parts import Parts
from services.api.schemas import PROBLEMS, Input, Page, Shown, When
from services.api.webhooks_sender import open_secrets, seal_secrets
from shared.domain.access import Principal
from shared.domain.names import BadName, from_public_id, public_id
from shared.domain.webhook import OVERLAP, PREFIX, SECRET_OCTETS, BadUrl, check_url
from shared.storage.webhooks import Delivery, Endpoint

router = APIRouter(prefix="/v1/webhook_endpoints", tags=["webhook_endpoints"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("webhooks:read"))]
Writer = Annotated[Principal, Depends(needs("webhooks:write"))]
#: Endpoints of one principal: each costs a look at the log twice a second.
MAX_ENDPOINTS = 20

Url = Annotated[str, Field(min_length=1, max_length=2_000, examples=["https://billing.example.org/odmr"])]
Types = Annotated[list[EventType], Field(max_length=50)]


class EndpointInput(Input):
    """A URL to call. `types`: only these events; empty for all that the key may see."""

    url: Url
    types: Types = []


class EndpointChange(Input):
    """What of an endpoint is to change. `enabled` after it was disabled: it hears of what came meanwhile, too."""

    url: Url = ""
    types: Types = []
    state: Literal["enabled", "disabled"] = "enabled"


class EndpointOutput(Shown):
    """An endpoint. One that answers 410 is disabled, and `disabled_for` says so."""

    url: str
    types: list[str]
    state: str
    disabled_for: str
    created_at: datetime

    @classmethod
    def of(cls, endpoint: Endpoint) -> "EndpointOutput":
        """From the spool's own value."""
        same = {name: getattr(endpoint, name) for name in ("url", "state", "disabled_for", "created_at")}
        return cls(id=public_id("we", endpoint.id), types=list(endpoint.types), **same)


class NewEndpoint(EndpointOutput):
    """An endpoint and its secret, this once: it verifies the header webhook-signature (Standard Webhooks)."""

    secret: str


class DeliveryOutput(Shown):
    """One event on its way to the endpoint; `id` is the event's, which the header webhook-id bears."""

    event_at: datetime
    state: str
    attempts: int
    next_at: datetime
    last_status: int | None
    last_error: str
    settled_at: datetime | None

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryOutput":
        """From the spool's own value."""
        same = {name: getattr(delivery, name) for name in cls.model_fields if name != "id"}
        return cls(id=public_id("evt", delivery.event_id), **same)


class Redelivery(Input):
    """Which events to tell again: one, or all since a time."""

    event_id: str | None = None
    since: When | None = None


class RedeliveryOutput(BaseModel):
    """How many will be told again."""

    deliveries: int


async def _get(parts: Parts, principal: Principal, text: str) -> Endpoint:
    endpoint = await parts.webhooks.find(principal, read_id("we", text))
    if endpoint is None:
        raise Problem("not_found")
    return endpoint


def _check(parts: Parts, url: str) -> str:
    try:
        return check_url(url, parts.webhook_allow)
    except BadUrl as error:
        raise Problem("invalid_value", str(error)) from None


def _new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_OCTETS)).decode()


@router.post("", status_code=201)
async def create_endpoint(body: EndpointInput, parts: PartsOf, principal: Writer) -> NewEndpoint:
    """Hears, from now on, of what the key may see."""
    url, types, secret = _check(parts, body.url), body.types, _new_secret()
    if len(await parts.webhooks.page(principal, None, MAX_ENDPOINTS)) >= MAX_ENDPOINTS:
        raise Problem("limit_reached", f"There are {MAX_ENDPOINTS} endpoints already")
    endpoint_id = parts.clock.new_id()
    sealed = seal_secrets(parts, endpoint_id.bytes, [(secret, None)])
    made = await parts.webhooks.create(principal, endpoint_id, url, types, sealed, await parts.events.now())
    return NewEndpoint(secret=secret, **EndpointOutput.of(made).model_dump())


@router.get("")
async def list_endpoints(
    parts: PartsOf, principal: Reader, limit: Limit = 20, cursor: Cursor = None
) -> Page[EndpointOutput]:
    """Endpoints, newest first."""
    rows = await parts.webhooks.page(principal, read_cursor("we", cursor), limit + 1)
    return page(rows, limit, EndpointOutput.of)


@router.get("/{endpoint_id}")
async def read_endpoint(endpoint_id: str, parts: PartsOf, principal: Reader) -> EndpointOutput:
    """One endpoint."""
    return EndpointOutput.of(await _get(parts, principal, endpoint_id))


@router.patch("/{endpoint_id}")
async def change_endpoint(endpoint_id: str, body: EndpointChange, parts: PartsOf, principal: Writer) -> EndpointOutput:
    """Changes what the body has."""
    endpoint = await _get(parts, principal, endpoint_id)
    changes: dict[str, Any] = body.model_dump(exclude_unset=True)
    if "url" in changes:
        _check(parts, body.url)
    if "state" in changes:
        changes["disabled_for"] = "" if body.state == "enabled" else "by a key"
    return EndpointOutput.of(await parts.webhooks.change(endpoint.id, changes) if changes else endpoint)


@router.delete("/{endpoint_id}", status_code=204)
async def remove_endpoint(endpoint_id: str, parts: PartsOf, principal: Writer) -> None:
    """It hears of nothing more."""
    await parts.webhooks.remove((await _get(parts, principal, endpoint_id)).id)


@router.post("/{endpoint_id}/rotate_secret")
async def rotate_secret(endpoint_id: str, parts: PartsOf, principal: Writer) -> NewEndpoint:
    """A new secret; the old one signs, too, for 24 hours."""
    endpoint, now, secret = await _get(parts, principal, endpoint_id), parts.clock.now(), _new_secret()
    old = open_secrets(parts, endpoint.id.bytes, await parts.webhooks.sealed_secrets(endpoint.id), now)[:1]
    sealed = seal_secrets(parts, endpoint.id.bytes, [(secret, None), *((one, now + OVERLAP) for one in old)])
    changed = await parts.webhooks.change(endpoint.id, {"sealed_secrets": sealed})
    return NewEndpoint(secret=secret, **EndpointOutput.of(changed).model_dump())


@router.get("/{endpoint_id}/deliveries")
async def list_deliveries(
    endpoint_id: str,
    parts: PartsOf,
    principal: Reader,
    state: Literal["due", "delivered", "failed"] | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[DeliveryOutput]:
    """What it was told, and what it is to be told."""
    endpoint = await _get(parts, principal, endpoint_id)
    rows = await parts.webhooks.deliveries(endpoint.id, state, read_cursor("evt", cursor), limit + 1)
    return page(rows, limit, DeliveryOutput.of)


@router.post("/{endpoint_id}/redeliver")
async def redeliver(endpoint_id: str, body: Redelivery, parts: PartsOf, principal: Writer) -> RedeliveryOutput:
    """Tells again: the same ids and the same bodies."""
    endpoint = await _get(parts, principal, endpoint_id)
    if (body.event_id is None) == (body.since is None):
        raise Problem("invalid_value", "Say either event_id or since")
    try:
        event_id = from_public_id("evt", body.event_id) if body.event_id is not None else None
    except BadName:
        raise Problem("invalid_value", "event_id is not one that a list gave") from None
    return RedeliveryOutput(deliveries=await parts.webhooks.redeliver(endpoint.id, event_id, body.since))
