"""Audit log of the HTTP API: written by `make openapi`, not by hand."""

from typing import TypedDict

from client.request import Page, Request, request


class Audited(TypedDict):
    """One request that changed something, by which key and from where; `path` has its query."""

    api_key_id: str
    at: str
    id: str
    key_name: str
    method: str
    path: str
    peer: str
    request_id: str
    status: int


def list_audit_log(*, limit: int | None = None, cursor: str | None = None) -> Request[Page[Audited]]:
    """What was changed by keys that this one may see, newest first."""
    return request("GET", "/v1/audit_log", query={"limit": limit, "cursor": cursor})
