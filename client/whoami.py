"""Whoami of the HTTP API: written by `make openapi`, not by hand."""

from typing import TypedDict

from client.request import Request, request


class Whoami(TypedDict):
    """The key that asks."""

    customer_id: str | None
    role: str
    scopes: list[str]
    version: str


def whoami() -> Request[Whoami]:
    """The key that asks, and the version that answers."""
    return request("GET", "/v1/whoami")
