"""Mail as values: what inbound accepts, and what a session leases."""

import enum
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.domain.names import CustomerId, DomainId, DomainName, MessageId, RecipientId


class RecipientState(enum.Enum):
    """States of a row of the queue; docs/states.md has a paragraph each on who moves it on."""

    QUEUED = "queued"
    LEASED = "leased"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    HELD = "held"
    DELETED = "deleted"


#: From these no move leads away; the reaper takes the row once no DSN is due.
TERMINAL = frozenset({RecipientState.DELIVERED, RecipientState.FAILED, RecipientState.EXPIRED, RecipientState.DELETED})


@dataclass(frozen=True, slots=True)
class Recipient:
    """One forward-path of an accepted message, and whose it is."""

    id: RecipientId
    customer_id: CustomerId
    domain_id: DomainId
    domain: DomainName
    forward_path: str
    #: NOTIFY and ORCPT in wire form (shared.protocol.notification).
    dsn_parameters: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """An envelope and the facts about its content. `content` is None when it lies in the spool already (an upload)."""

    id: MessageId
    reverse_path: str
    recipients: tuple[Recipient, ...]
    size: int
    sha256: bytes
    has_eight_bit: bool
    helo: str
    peer: str
    #: RET and ENVID in wire form.
    dsn_parameters: str = ""
    needs_smtputf8: bool = False
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LeasedRecipient:
    """One row that a session may send now."""

    id: RecipientId
    message_id: MessageId
    domain_id: DomainId
    domain: DomainName
    forward_path: str
    reverse_path: str
    size: int
    has_eight_bit: bool
    attempts: int
    #: By the database's clock, when it was leased: ours may jump.
    age: timedelta
    next_at: datetime
    #: The domain's policies: 8-bit content goes to a server without 8BITMIME; how long a 5xx before the content is no end.
    sends_eight_bit: bool
    fail_after: timedelta
    #: Held where a refusal would be final (`when_refused`).
    holds_refused: bool = False
    needs_smtputf8: bool = False
    mail_parameters: str = ""
    rcpt_parameters: str = ""
    #: It was sent before when our own side died: it goes alone.
    is_suspect: bool = False
    #: When it was leased, by a clock that never goes back.
    leased_at: float = 0.0
