"""Diagnostics of the HTTP API: written by `make openapi`, not by hand."""

from typing import TypedDict

from client.request import Request, request


class Diagnosis(TypedDict):
    """`schema_version` is the database's, `schema_wanted` what this version is for. `sessions` are turned. Without the
    bus mail waits for the poll, and nobody can log in.
    """

    bus_connected: bool
    database_bytes: int
    database_version: str
    schema_version: str
    schema_wanted: str
    sessions: int
    version: str
    webhooks_disabled: int


def read_diagnostics() -> Request[Diagnosis]:
    """How the parts are that the API stands on. For operators; queues and rates are in the figures of each service."""
    return request("GET", "/v1/diagnostics")
