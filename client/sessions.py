"""Sessions of the HTTP API: written by `make openapi`, not by hand."""

from typing import TypedDict

from client.request import Page, Request, request


class Session(TypedDict):
    """A turned session; it runs while `ended_at` is null. `is_live`: it stays on the line and is pushed to."""

    credential_id: str
    customer_id: str
    domains: list[str]
    ended_at: str | None
    id: str
    is_live: bool
    is_tls: bool
    mechanism: str
    peer: str
    sent_bytes: int
    sent_messages: int
    started_at: str
    why_ended: str


def list_sessions(
    *, customer_id: str | None = None, running: bool | None = None, limit: int | None = None, cursor: str | None = None
) -> Request[Page[Session]]:
    """Sessions, newest first. Figures of a running one are written when it ends."""
    return request(
        "GET", "/v1/sessions", query={"customer_id": customer_id, "running": running, "limit": limit, "cursor": cursor}
    )


def read_session(session_id: str) -> Request[Session]:
    """One session."""
    return request("GET", "/v1/sessions/{}", session_id)


def disconnect_session(session_id: str) -> Request[Session]:
    """Ends it within a third of the lease time. Twice is as once; the customer may call again."""
    return request("POST", "/v1/sessions/{}/disconnect", session_id)
