"""Messages of the HTTP API: written by `make openapi`, not by hand."""

from typing import Literal, TypedDict

from client.request import UNSET, Page, Request, Unset, request


class Recipient(TypedDict):
    """One forward-path and where it stands; attempts, next_at and is_uncertain are null once it has left the spool."""

    attempts: int | None
    forward_path: str
    is_uncertain: bool | None
    last_reply: str
    next_at: str | None
    state: str


class Message(TypedDict):
    """A message; reverse_path and size are null once it has left the spool."""

    id: str
    received_at: str
    recipients: list[Recipient]
    reverse_path: str | None
    size: int | None


class Moment(TypedDict):
    """Something that happened: to which forward-path, in which session, and the reply that was heard."""

    at: str
    detail: str
    forward_path: str
    session_id: str | None
    type: str


class TracedMessage(TypedDict):
    """A message and what happened to it, in order."""

    id: str
    received_at: str
    recipients: list[Recipient]
    reverse_path: str | None
    size: int | None
    timeline: list[Moment]


class Handled(TypedDict):
    """How many recipients it moved: those that were in a state from which it leads."""

    recipients: int


def list_messages(
    *,
    customer_id: str | None = None,
    domain: str | None = None,
    state: Literal["queued", "leased", "delivered", "failed", "expired", "held", "deleted"] | None = None,
    reverse_path: str | None = None,
    since: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Request[Page[Message]]:
    """Messages that the spool holds, newest first."""
    return request(
        "GET",
        "/v1/messages",
        query={
            "customer_id": customer_id,
            "domain": domain,
            "state": state,
            "reverse_path": reverse_path,
            "since": since,
            "limit": limit,
            "cursor": cursor,
        },
    )


def read_message(message_id: str) -> Request[TracedMessage]:
    """One message and its timeline, also when it has left the spool."""
    return request("GET", "/v1/messages/{}", message_id)


def bounce_message(message_id: str, *, reason: str) -> Request[Handled]:
    """Gives up: its sender gets a DSN with this reason. Not for what a session is sending now."""
    return request("POST", "/v1/messages/{}/bounce", message_id, body={"reason": reason})


def delete_message(message_id: str, *, reason: str) -> Request[Handled]:
    """Throws it away; nobody is told. Not for what a session is sending now."""
    return request("POST", "/v1/messages/{}/delete", message_id, body={"reason": reason})


def hold_message(message_id: str, *, reason: str, seconds: int | Unset = UNSET) -> Request[Handled]:
    """Keeps it from its customer until a time."""
    return request("POST", "/v1/messages/{}/hold", message_id, body={"reason": reason, "seconds": seconds})


def read_content(message_id: str) -> Request[bytes]:
    """The content, octet by octet as it came: to rescue mail by hand, and to look into what is held."""
    return request("GET", "/v1/messages/{}/raw", message_id, answer="bytes")


def release_message(message_id: str, *, reason: str) -> Request[Handled]:
    """Queues again what is held, by whomever."""
    return request("POST", "/v1/messages/{}/release", message_id, body={"reason": reason})


def retry_message(message_id: str, *, reason: str) -> Request[Handled]:
    """Ends its back-off: it is due now."""
    return request("POST", "/v1/messages/{}/retry", message_id, body={"reason": reason})
