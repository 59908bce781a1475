"""Webhook endpoints of the HTTP API: written by `make openapi`, not by hand."""

from typing import Literal, TypedDict

from client.request import UNSET, Page, Request, Unset, request


class Endpoint(TypedDict):
    """An endpoint. One that answers 410 is disabled, and `disabled_for` says so."""

    created_at: str
    disabled_for: str
    id: str
    state: str
    types: list[str]
    url: str


class NewEndpoint(TypedDict):
    """An endpoint and its secret, this once: it verifies the header webhook-signature (Standard Webhooks)."""

    created_at: str
    disabled_for: str
    id: str
    secret: str
    state: str
    types: list[str]
    url: str


class Delivery(TypedDict):
    """One event on its way to the endpoint; `id` is the event's, which the header webhook-id bears."""

    attempts: int
    event_at: str
    id: str
    last_error: str
    last_status: int | None
    next_at: str
    settled_at: str | None
    state: str


class Redelivery(TypedDict):
    """How many will be told again."""

    deliveries: int


def list_endpoints(*, limit: int | None = None, cursor: str | None = None) -> Request[Page[Endpoint]]:
    """Endpoints, newest first."""
    return request("GET", "/v1/webhook_endpoints", query={"limit": limit, "cursor": cursor})


def create_endpoint(
    *,
    url: str,
    types: list[
        Literal[
            "message.received",
            "message.delivered",
            "message.deferred",
            "message.failed",
            "message.expired",
            "message.held",
            "message.released",
            "message.retried",
            "message.deleted",
            "dsn.failed",
            "dsn.delayed",
            "dsn.relayed",
            "session.started",
            "session.ended",
            "customer.created",
            "customer.changed",
            "customer.plan_changed",
            "customer.suspended",
            "customer.resumed",
            "customer.terminated",
            "customer.absent",
            "customer.returned",
            "domain.created",
            "domain.verified",
            "domain.removed",
        ]
    ]
    | Unset = UNSET,
) -> Request[NewEndpoint]:
    """Hears, from now on, of what the key may see."""
    return request("POST", "/v1/webhook_endpoints", body={"types": types, "url": url})


def remove_endpoint(endpoint_id: str) -> Request[None]:
    """It hears of nothing more."""
    return request("DELETE", "/v1/webhook_endpoints/{}", endpoint_id, answer="nothing")


def read_endpoint(endpoint_id: str) -> Request[Endpoint]:
    """One endpoint."""
    return request("GET", "/v1/webhook_endpoints/{}", endpoint_id)


def change_endpoint(
    endpoint_id: str,
    *,
    state: Literal["enabled", "disabled"] | Unset = UNSET,
    types: list[
        Literal[
            "message.received",
            "message.delivered",
            "message.deferred",
            "message.failed",
            "message.expired",
            "message.held",
            "message.released",
            "message.retried",
            "message.deleted",
            "dsn.failed",
            "dsn.delayed",
            "dsn.relayed",
            "session.started",
            "session.ended",
            "customer.created",
            "customer.changed",
            "customer.plan_changed",
            "customer.suspended",
            "customer.resumed",
            "customer.terminated",
            "customer.absent",
            "customer.returned",
            "domain.created",
            "domain.verified",
            "domain.removed",
        ]
    ]
    | Unset = UNSET,
    url: str | Unset = UNSET,
) -> Request[Endpoint]:
    """Changes what the body has."""
    return request("PATCH", "/v1/webhook_endpoints/{}", endpoint_id, body={"state": state, "types": types, "url": url})


def list_deliveries(
    endpoint_id: str,
    *,
    state: Literal["due", "delivered", "failed"] | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Request[Page[Delivery]]:
    """What it was told, and what it is to be told."""
    return request(
        "GET",
        "/v1/webhook_endpoints/{}/deliveries",
        endpoint_id,
        query={"state": state, "limit": limit, "cursor": cursor},
    )


def redeliver(
    endpoint_id: str, *, event_id: str | None | Unset = UNSET, since: str | None | Unset = UNSET
) -> Request[Redelivery]:
    """Tells again: the same ids and the same bodies."""
    return request(
        "POST", "/v1/webhook_endpoints/{}/redeliver", endpoint_id, body={"event_id": event_id, "since": since}
    )


def rotate_secret(endpoint_id: str) -> Request[NewEndpoint]:
    """A new secret; the old one signs, too, for 24 hours."""
    return request("POST", "/v1/webhook_endpoints/{}/rotate_secret", endpoint_id)
