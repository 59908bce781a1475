"""Queue of the HTTP API: written by `make openapi`, not by hand."""

from typing import TypedDict

from client.request import UNSET, Request, Unset, request


class Queue(TypedDict):
    """What waits for a domain, by state; `oldest_received_at` of what is queued or leased."""

    bytes: dict[str, int]
    domain: str
    messages: dict[str, int]
    oldest_received_at: str | None


class Moved(TypedDict):
    """How many recipients it moved, or would move, exactly, and their octets."""

    bytes: int
    dry_run: bool
    recipients: int


def read_queue(domain_id: str) -> Request[Queue]:
    """What waits for the domain."""
    return request("GET", "/v1/domains/{}/queue", domain_id)


def bounce_queue(domain_id: str, *, reason: str, dry_run: bool | Unset = UNSET) -> Request[Moved]:
    """Gives up: each sender gets a DSN with this reason. Not for what a session is sending now. There is no way back."""
    return request("POST", "/v1/domains/{}/queue/bounce", domain_id, body={"dry_run": dry_run, "reason": reason})


def hold_queue(
    domain_id: str, *, reason: str, dry_run: bool | Unset = UNSET, seconds: int | Unset = UNSET
) -> Request[Moved]:
    """Keeps all that waits from its customer until a time; what comes later is not held."""
    return request(
        "POST", "/v1/domains/{}/queue/hold", domain_id, body={"dry_run": dry_run, "reason": reason, "seconds": seconds}
    )


def purge_queue(domain_id: str, *, reason: str, dry_run: bool | Unset = UNSET) -> Request[Moved]:
    """Throws it away; nobody is told. Not for what a session is sending now. There is no way back."""
    return request("POST", "/v1/domains/{}/queue/purge", domain_id, body={"dry_run": dry_run, "reason": reason})


def release_queue(domain_id: str, *, reason: str, dry_run: bool | Unset = UNSET) -> Request[Moved]:
    """Queues again all that is held, by whomever."""
    return request("POST", "/v1/domains/{}/queue/release", domain_id, body={"dry_run": dry_run, "reason": reason})


def retry_queue(domain_id: str, *, reason: str, dry_run: bool | Unset = UNSET) -> Request[Moved]:
    """Ends the back-off of all that waits."""
    return request("POST", "/v1/domains/{}/queue/retry", domain_id, body={"dry_run": dry_run, "reason": reason})
