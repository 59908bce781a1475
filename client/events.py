"""Events of the HTTP API: written by `make openapi`, not by hand."""

from typing import Literal, TypedDict

from client.request import Page, Request, request


class EventData(TypedDict):
    """What it happened to."""

    customer_id: str
    detail: str
    external_id: str | None
    message_id: str | None
    recipient_id: str | None
    session_id: str | None


class Event(TypedDict):
    """Something that happened. More types and fields may come."""

    data: EventData
    id: str
    timestamp: str
    type: str


def list_events(
    *,
    type_: list[
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
    | None = None,
    customer_id: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Request[Page[Event]]:
    """Events, the oldest first, as one reads on: the last `next_cursor` stays good, also when there is nothing more
    yet.
    """
    return request(
        "GET", "/v1/events", query={"type": type_, "customer_id": customer_id, "limit": limit, "cursor": cursor}
    )


def read_event(event_id: str) -> Request[Event]:
    """One event."""
    return request("GET", "/v1/events/{}", event_id)
