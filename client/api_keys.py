"""Api keys of the HTTP API: written by `make openapi`, not by hand."""

from typing import Literal, TypedDict

from client.request import UNSET, Page, Request, Unset, request


class ApiKey(TypedDict):
    """A key; all of it but the visible beginning is told once, when it is made. `last_used_at` may be a minute behind."""

    created_at: str
    customer_id: str | None
    expires_at: str | None
    id: str
    last_used_at: str | None
    name: str
    prefix: str
    role: str
    scopes: list[str]


class NewApiKey(TypedDict):
    """A key and all of it, this once: send it as `Authorization: Bearer`."""

    created_at: str
    customer_id: str | None
    expires_at: str | None
    id: str
    key: str
    last_used_at: str | None
    name: str
    prefix: str
    role: str
    scopes: list[str]


def list_api_keys(*, limit: int | None = None, cursor: str | None = None) -> Request[Page[ApiKey]]:
    """Keys that are not revoked, newest first."""
    return request("GET", "/v1/api_keys", query={"limit": limit, "cursor": cursor})


def create_api_key(
    *,
    name: str,
    role: Literal["operator", "reseller", "customer"],
    scopes: list[
        Literal[
            "*",
            "customers:read",
            "customers:write",
            "domains:read",
            "domains:write",
            "credentials:read",
            "credentials:write",
            "messages:read",
            "messages:write",
            "messages:content",
            "sessions:read",
            "sessions:write",
            "usage:read",
            "usage:write",
            "plans:read",
            "plans:write",
            "events:read",
            "webhooks:read",
            "webhooks:write",
            "audit_log:read",
            "diagnostics:read",
            "api_keys:read",
            "api_keys:write",
        ]
    ],
    customer_id: str | None | Unset = UNSET,
) -> Request[NewApiKey]:
    """Makes a key."""
    return request(
        "POST", "/v1/api_keys", body={"customer_id": customer_id, "name": name, "role": role, "scopes": scopes}
    )


def revoke_api_key(key_id: str) -> Request[None]:
    """Ends it at once."""
    return request("DELETE", "/v1/api_keys/{}", key_id, answer="nothing")


def rotate_api_key(key_id: str, *, overlap_seconds: int | Unset = UNSET) -> Request[NewApiKey]:
    """A new key that may do the same; the old one ends after the overlap."""
    return request("POST", "/v1/api_keys/{}/rotate", key_id, body={"overlap_seconds": overlap_seconds})
