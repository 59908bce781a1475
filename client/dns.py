"""Dns of the HTTP API: written by `make openapi`, not by hand."""

from typing import TypedDict

from client.customers import Domain
from client.request import Request, request


class Record(TypedDict):
    """One record: what is expected and what is there. `why` says what is wrong, and is empty where nothing is."""

    expected: str
    name: str
    observed: list[str]
    ok: bool
    type: str
    why: str


class Dns(TypedDict):
    """The records of a domain, and the lines of a zone file that make them right."""

    domain: str
    ok: bool
    records: list[Record]
    verified_at: str | None
    zone: str


def read_dns(domain_id: str) -> Request[Dns]:
    """What the DNS says now, record by record, against what it must say."""
    return request("GET", "/v1/domains/{}/dns", domain_id)


def verify_domain(domain_id: str) -> Request[Domain]:
    """Looks for the TXT record that shows whose the domain is. Once it was seen the domain is verified for good."""
    return request("POST", "/v1/domains/{}/verify", domain_id)
