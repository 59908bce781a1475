"""Usage of the HTTP API: written by `make openapi`, not by hand."""

from typing import Any, Literal, TypedDict

from client.request import Page, Request, request


class Meter(TypedDict):
    """What is counted; `kind` is `period` for sums over a time, `snapshot` for what is there now."""

    description: str
    kind: str
    name: str
    unit: str


class Meters(TypedDict):
    """All of them."""

    data: list[Meter]


class Usage(TypedDict):
    """One meter of one domain in one hour, day or month. A final one never changes; its id is the same each time."""

    amount: int
    customer_id: str
    domain: str | None
    end: str
    external_id: str | None
    final: bool
    id: str
    meter: str
    start: str


class Adjustment(TypedDict):
    """A correction and its reason; it is shown apart from what was counted."""

    amount: int
    customer_id: str
    hour: str
    id: str
    made_at: str
    meter: str
    reason: str


class CloudEvent(TypedDict):
    """A final hour as a CloudEvent (1.0), as OpenMeter, Lago, Orb and Metronome take it."""

    data: dict[str, Any]
    id: str
    source: str
    specversion: str
    subject: str
    time: str
    type: str


class CloudEventPage(TypedDict):
    """A batch of CloudEvents and where it goes on."""

    data: list[CloudEvent]
    has_more: bool
    next_cursor: str | None


class Summary(TypedDict):
    """What one customer used: `meters` without the adjustments; stored_ and active_ ones as they are now."""

    adjustments: dict[str, int]
    customer_id: str
    external_id: str | None
    meters: dict[str, int]
    name: str
    state: str


class Summaries(TypedDict):
    """Every customer that the key may see."""

    data: list[Summary]
    end: str
    start: str


def list_meters() -> Request[Meters]:
    """What is counted, and how."""
    return request("GET", "/v1/meters")


def list_usage(
    *,
    customer_id: str | None = None,
    meter: Literal[
        "messages_received",
        "bytes_received",
        "messages_delivered",
        "bytes_delivered",
        "messages_expired",
        "session_seconds",
    ]
    | None = None,
    granularity: Literal["hour", "day", "month"] | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Request[Page[Usage]]:
    """What was counted in hours that begin from `since` and before `until`, newest first."""
    return request(
        "GET",
        "/v1/usage",
        query={
            "customer_id": customer_id,
            "meter": meter,
            "granularity": granularity,
            "since": since,
            "until": until,
            "limit": limit,
            "cursor": cursor,
        },
    )


def list_adjustments(
    *, customer_id: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Request[Page[Adjustment]]:
    """Corrections, newest first."""
    return request("GET", "/v1/usage/adjustments", query={"customer_id": customer_id, "limit": limit, "cursor": cursor})


def create_adjustment(
    *,
    amount: int,
    at: str,
    customer_id: str,
    meter: Literal[
        "messages_received",
        "bytes_received",
        "messages_delivered",
        "bytes_delivered",
        "messages_expired",
        "session_seconds",
    ],
    reason: str,
) -> Request[Adjustment]:
    """Corrects what was counted, with a reason. Final records stay as they are."""
    return request(
        "POST",
        "/v1/usage/adjustments",
        body={"amount": amount, "at": at, "customer_id": customer_id, "meter": meter, "reason": reason},
    )


def list_usage_events(
    *, since: str | None = None, until: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Request[CloudEventPage]:
    """Final hours as CloudEvents, newest first. Importing one twice is harmless: its id is the same."""
    return request("GET", "/v1/usage/events", query={"since": since, "until": until, "limit": limit, "cursor": cursor})


def read_summary(*, period: str | None = None) -> Request[Summaries]:
    """Every customer's month in one call, as billing modules ask for it once a day."""
    return request("GET", "/v1/usage/summary", query={"period": period})
