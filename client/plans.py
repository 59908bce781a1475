"""Plans of the HTTP API: written by `make openapi`, not by hand."""

from typing import TypedDict

from client.request import UNSET, Page, Request, Unset, request


class Plan(TypedDict):
    """A plan. `max_messages` and `max_bytes` bound what may wait for all domains of a customer, `max_message_bytes` one
    message (senders hear 552), `max_messages_per_hour` what senders bring in an hour by the clock (450: it comes
    later).
    """

    created_at: str
    id: str
    max_bytes: int | None
    max_domains: int | None
    max_message_bytes: int | None
    max_messages: int | None
    max_messages_per_hour: int | None
    max_sessions: int | None
    name: str
    retention_days: int


def list_plans(*, limit: int | None = None, cursor: str | None = None) -> Request[Page[Plan]]:
    """Plans, newest first."""
    return request("GET", "/v1/plans", query={"limit": limit, "cursor": cursor})


def create_plan(
    *,
    name: str,
    max_bytes: int | None | Unset = UNSET,
    max_domains: int | None | Unset = UNSET,
    max_message_bytes: int | None | Unset = UNSET,
    max_messages: int | None | Unset = UNSET,
    max_messages_per_hour: int | None | Unset = UNSET,
    max_sessions: int | None | Unset = UNSET,
    retention_days: int | Unset = UNSET,
) -> Request[Plan]:
    """Makes a plan, owned by whoever makes it."""
    return request(
        "POST",
        "/v1/plans",
        body={
            "max_bytes": max_bytes,
            "max_domains": max_domains,
            "max_message_bytes": max_message_bytes,
            "max_messages": max_messages,
            "max_messages_per_hour": max_messages_per_hour,
            "max_sessions": max_sessions,
            "name": name,
            "retention_days": retention_days,
        },
    )


def remove_plan(plan_id: str) -> Request[None]:
    """Not while customers have it."""
    return request("DELETE", "/v1/plans/{}", plan_id, answer="nothing")


def read_plan(plan_id: str) -> Request[Plan]:
    """One plan, by id or by name."""
    return request("GET", "/v1/plans/{}", plan_id)


def change_plan(
    plan_id: str,
    *,
    max_bytes: int | None | Unset = UNSET,
    max_domains: int | None | Unset = UNSET,
    max_message_bytes: int | None | Unset = UNSET,
    max_messages: int | None | Unset = UNSET,
    max_messages_per_hour: int | None | Unset = UNSET,
    max_sessions: int | None | Unset = UNSET,
    name: str | Unset = UNSET,
    retention_days: int | Unset = UNSET,
    if_match: str | None = None,
) -> Request[Plan]:
    """Changes what the body has, for all customers that have the plan."""
    return request(
        "PATCH",
        "/v1/plans/{}",
        plan_id,
        body={
            "max_bytes": max_bytes,
            "max_domains": max_domains,
            "max_message_bytes": max_message_bytes,
            "max_messages": max_messages,
            "max_messages_per_hour": max_messages_per_hour,
            "max_sessions": max_sessions,
            "name": name,
            "retention_days": retention_days,
        },
        headers={"If-Match": if_match},
    )
