"""Subjects. A token is a customer's id in hex, never a domain: dots separate tokens. docs/architecture.md has the table."""

from typing import Final

from shared.domain.names import CustomerId

#: auth answers: is this transcript a proof.
AUTH_VERIFY: Final = "auth.verify"
#: auth answers: the key to which PLAIN's response is sealed.
AUTH_KEY: Final = "auth.key"
#: auth answers: make a credential for this customer, or a new secret for one.
AUTH_MINT: Final = "auth.mint"
#: Every customer's wake-ups, for a subscriber.
MAIL_QUEUED_ALL: Final = "mail.queued.*"

#: service -> what its NATS user may publish, and what it may subscribe to. Replies go to the service's own inbox.
ALLOWED: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "inbound": (("mail.queued.*",), ("_INBOX_inbound.>",)),
    "odmr": ((AUTH_VERIFY, AUTH_KEY), (MAIL_QUEUED_ALL, "_INBOX_odmr.>")),
    "auth": (("_INBOX_odmr.>", "_INBOX_api.>"), (AUTH_VERIFY, AUTH_KEY, AUTH_MINT)),
    "outbound": (("mail.queued.*",), ("_INBOX_outbound.>",)),
    "api": ((AUTH_MINT,), ("_INBOX_api.>",)),
}


def inbox_of(service: str) -> str:
    """The prefix of the subjects on which this service hears replies; no other service may listen there."""
    return f"_INBOX_{service}"


def mail_queued(customer_id: CustomerId) -> str:
    """Mail came for this customer."""
    return f"mail.queued.{customer_id.hex}"


def customer_of(subject: str) -> str:
    """The customer's id in hex from the subject of a wake-up."""
    return subject.rpartition(".")[2]
