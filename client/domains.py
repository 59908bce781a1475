"""Domains of the HTTP API: written by `make openapi`, not by hand."""

from typing import Literal, TypedDict

from client.customers import Domain
from client.request import UNSET, Page, Request, Unset, request


class RecipientList(TypedDict):
    """The local parts that a domain knows; used where `unknown_recipients` is reject. Postmaster is known always."""

    local_parts: list[str]


class RefusedRecipient(TypedDict):
    """Whom the customer's server did not know: what it said, and until when that is believed."""

    local_part: str
    reply: str
    until: str


def list_domains(
    *, customer_id: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Request[Page[Domain]]:
    """Domains, newest first."""
    return request("GET", "/v1/domains", query={"customer_id": customer_id, "limit": limit, "cursor": cursor})


def create_domain(*, customer_id: str, name: str) -> Request[Domain]:
    """Hosts a domain for a customer: from now on its mail is taken."""
    return request("POST", "/v1/domains", body={"customer_id": customer_id, "name": name})


def remove_domain(domain_id: str) -> Request[None]:
    """Takes no more mail for it. Not while some is kept: that would never be given out."""
    return request("DELETE", "/v1/domains/{}", domain_id, answer="nothing")


def read_domain(domain_id: str) -> Request[Domain]:
    """One domain, by id or by name."""
    return request("GET", "/v1/domains/{}", domain_id)


def change_domain(
    domain_id: str,
    *,
    delay_notice_seconds: int | None | Unset = UNSET,
    eight_bit: Literal["hold", "send"] | None | Unset = UNSET,
    fail_after_seconds: int | None | Unset = UNSET,
    learn_refusals_seconds: int | None | Unset = UNSET,
    max_bytes: int | None | Unset = UNSET,
    max_messages: int | None | Unset = UNSET,
    priority: int | None | Unset = UNSET,
    retention_days: int | None | Unset = UNSET,
    unknown_recipients: Literal["accept", "reject"] | None | Unset = UNSET,
    when_refused: Literal["fail", "hold"] | None | Unset = UNSET,
    if_match: str | None = None,
) -> Request[Domain]:
    """Changes policies."""
    return request(
        "PATCH",
        "/v1/domains/{}",
        domain_id,
        body={
            "delay_notice_seconds": delay_notice_seconds,
            "eight_bit": eight_bit,
            "fail_after_seconds": fail_after_seconds,
            "learn_refusals_seconds": learn_refusals_seconds,
            "max_bytes": max_bytes,
            "max_messages": max_messages,
            "priority": priority,
            "retention_days": retention_days,
            "unknown_recipients": unknown_recipients,
            "when_refused": when_refused,
        },
        headers={"If-Match": if_match},
    )


def read_recipients(domain_id: str) -> Request[RecipientList]:
    """The local parts that it knows."""
    return request("GET", "/v1/domains/{}/recipients", domain_id)


def set_recipients(domain_id: str, *, local_parts: list[str]) -> Request[RecipientList]:
    """Puts this list in place of the old one."""
    return request("PUT", "/v1/domains/{}/recipients", domain_id, body={"local_parts": local_parts})


def forget_refused_recipients(domain_id: str, *, local_part: str | None = None) -> Request[None]:
    """Forgets one, or all: senders are heard again."""
    return request(
        "DELETE", "/v1/domains/{}/refused_recipients", domain_id, query={"local_part": local_part}, answer="nothing"
    )


def list_refused_recipients(
    domain_id: str, *, limit: int | None = None, cursor: str | None = None
) -> Request[Page[RefusedRecipient]]:
    """Whom the customer's server did not know, by name, until they are forgotten: senders hear 550 at once."""
    return request("GET", "/v1/domains/{}/refused_recipients", domain_id, query={"limit": limit, "cursor": cursor})
