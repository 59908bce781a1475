"""Customers of the HTTP API: written by `make openapi`, not by hand."""

from typing import Literal, TypedDict

from client.credentials import MintedCredential
from client.request import UNSET, Page, Request, Unset, request


class Customer(TypedDict):
    """A customer. `suspended_for` is empty unless it is suspended; a terminated one's mail is deleted at `purge_at`."""

    absent_since: str | None
    created_at: str
    expected_every_seconds: int | None
    external_id: str | None
    id: str
    metadata: dict[str, str]
    name: str
    plan_id: str | None
    purge_at: str | None
    receiving: str
    resume_at: str | None
    state: str
    suspended_for: str


class Domain(TypedDict):
    """A domain. `fail_after_seconds`: how long a 5xx of the customer's server before the content bounces nothing.
    `eight_bit`: what becomes of 8-bit content where that server does not say that it takes it. `unknown_recipients`: of
    who is not in the list. `learn_refusals_seconds`: how long senders hear 550 at once for whom the customer's server
    did not know; 0 never. `priority`: 0 to 9; in a session the mail of domains with the highest goes first, from the
    next batch on. `retention_days`: when mail that nobody fetched expires, with a DSN; null as the plan says (14).
    `delay_notice_seconds`: when senders hear that their mail still waits; 0 never. `when_refused`: fail, with a DSN, or
    hold what that server refuses for good. `max_messages`, `max_bytes`: what may wait before senders hear 452; null for
    no limit.
    """

    created_at: str
    customer_id: str
    delay_notice_seconds: int
    eight_bit: str
    fail_after_seconds: int
    id: str
    learn_refusals_seconds: int
    max_bytes: int | None
    max_messages: int | None
    name: str
    priority: int
    retention_days: int | None
    unknown_recipients: str
    verified_at: str | None
    when_refused: str


class ProvisionedCustomer(TypedDict):
    """A customer, and what this call made for it: domains, and a credential, whose secret is told this once."""

    absent_since: str | None
    created_at: str
    credential: MintedCredential | None
    domains: list[Domain]
    expected_every_seconds: int | None
    external_id: str | None
    id: str
    metadata: dict[str, str]
    name: str
    plan_id: str | None
    purge_at: str | None
    receiving: str
    resume_at: str | None
    state: str
    suspended_for: str


class Holdings(TypedDict):
    """What a customer has, exactly, now: `bytes` of the mail that is kept."""

    bytes: int
    credentials: int
    domains: int
    messages: int
    oldest_received_at: str | None


class Status(TypedDict):
    """For a page that the customer sees: whether it is connected, since when not, and what waits."""

    holdings: Holdings
    is_connected: bool
    last_session_at: str | None
    state: str


class Termination(TypedDict):
    """The customer as it is now, and what it has."""

    customer: Customer
    dry_run: bool
    holdings: Holdings


def list_customers(*, limit: int | None = None, cursor: str | None = None) -> Request[Page[Customer]]:
    """Customers, newest first."""
    return request("GET", "/v1/customers", query={"limit": limit, "cursor": cursor})


def create_customer(
    *,
    name: str,
    credential: bool | Unset = UNSET,
    domains: list[str] | Unset = UNSET,
    expected_every_seconds: int | None | Unset = UNSET,
    external_id: str | None | Unset = UNSET,
    metadata: dict[str, str] | Unset = UNSET,
    plan_id: str | None | Unset = UNSET,
) -> Request[ProvisionedCustomer]:
    """Makes a customer, owned by whoever makes it. When a domain or the credential cannot be made, nothing is."""
    return request(
        "POST",
        "/v1/customers",
        body={
            "credential": credential,
            "domains": domains,
            "expected_every_seconds": expected_every_seconds,
            "external_id": external_id,
            "metadata": metadata,
            "name": name,
            "plan_id": plan_id,
        },
    )


def read_customer(customer_id: str) -> Request[Customer]:
    """One customer."""
    return request("GET", "/v1/customers/{}", customer_id)


def change_customer(
    customer_id: str,
    *,
    expected_every_seconds: int | None | Unset = UNSET,
    external_id: str | None | Unset = UNSET,
    metadata: dict[str, str] | Unset = UNSET,
    name: str | Unset = UNSET,
    plan_id: str | None | Unset = UNSET,
    if_match: str | None = None,
) -> Request[Customer]:
    """Changes what the body has, and nothing else."""
    return request(
        "PATCH",
        "/v1/customers/{}",
        customer_id,
        body={
            "expected_every_seconds": expected_every_seconds,
            "external_id": external_id,
            "metadata": metadata,
            "name": name,
            "plan_id": plan_id,
        },
        headers={"If-Match": if_match},
    )


def upsert_customer(
    customer_id: str,
    *,
    name: str,
    credential: bool | Unset = UNSET,
    domains: list[str] | Unset = UNSET,
    expected_every_seconds: int | None | Unset = UNSET,
    metadata: dict[str, str] | Unset = UNSET,
    plan_id: str | None | Unset = UNSET,
) -> Request[ProvisionedCustomer]:
    """Makes the customer, or makes it what the body says. Twice is as once, and what was left half done is completed."""
    return request(
        "PUT",
        "/v1/customers/{}",
        customer_id,
        body={
            "credential": credential,
            "domains": domains,
            "expected_every_seconds": expected_every_seconds,
            "metadata": metadata,
            "name": name,
            "plan_id": plan_id,
        },
    )


def resume_customer(customer_id: str) -> Request[Customer]:
    """Gives its mail out again. Twice is as once."""
    return request("POST", "/v1/customers/{}/resume", customer_id)


def read_status(customer_id: str) -> Request[Status]:
    """Whether it is connected, and what waits for it."""
    return request("GET", "/v1/customers/{}/status", customer_id)


def suspend_customer(
    customer_id: str,
    *,
    reason: str,
    receiving: Literal["hold", "tempfail", "reject"] | Unset = UNSET,
    until: str | None | Unset = UNSET,
) -> Request[Customer]:
    """Keeps the customer's mail and gives none out: ATRN gets 450, and sessions that run end. Twice is as once."""
    return request(
        "POST", "/v1/customers/{}/suspend", customer_id, body={"reason": reason, "receiving": receiving, "until": until}
    )


def terminate_customer(
    customer_id: str, *, dry_run: bool | Unset = UNSET, purge_after_days: int | Unset = UNSET
) -> Request[Termination]:
    """Takes and gives no mail any more, ends every credential, and deletes what is kept after a time. Twice is as once."""
    return request(
        "POST",
        "/v1/customers/{}/terminate",
        customer_id,
        body={"dry_run": dry_run, "purge_after_days": purge_after_days},
    )
