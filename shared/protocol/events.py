"""What the machines tell their drivers, and what the drivers tell them."""

import enum
from dataclasses import dataclass, field

from shared.protocol.reply import Reply
from shared.protocol.sasl.transcript import Transcript


class Waiting(enum.Enum):
    """No event: give the machine bytes (NEED_DATA), or the answer that it waits for (PAUSED)."""

    NEED_DATA = enum.auto()
    PAUSED = enum.auto()


NEED_DATA = Waiting.NEED_DATA
PAUSED = Waiting.PAUSED


# --- from the provider's and the customer's machine -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Say:
    """The machine knows what comes next: write these octets. `why` is for the log."""

    data: bytes
    why: str = ""


@dataclass(frozen=True, slots=True)
class StartTls:
    """Write these octets in clear, then make the handshake, then tell the machine `tls_started()`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class AuthStep:
    """Ask who may decide: answer with Continue, Granted, Denied or Unavailable."""

    transcript: Transcript


@dataclass(frozen=True, slots=True)
class TurnRequested:
    """ATRN came. Empty domains stand for all that the customer may have. Answer with Turn or Refuse.

    A live session is turned also when nothing waits, and stays.
    """

    domains: tuple[str, ...]
    is_live: bool = False
    #: XODMR ID was said: each MAIL bears XODMRID=, which is a message's own for ever.
    wants_ids: bool = False


@dataclass(frozen=True, slots=True)
class CountRequested:
    """XODMR STAT came: how much waits. Answer with Counted or Refuse."""


@dataclass(frozen=True, slots=True)
class Turned:
    """Customer's side: the provider said 250. `early` is what came behind its reply: the first of the new direction.

    `is_live`: the session stays when the queue is empty.
    """

    early: bytes
    is_live: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """Customer's side: logged in, and that was all that was asked for. What waits, where the provider says it."""

    words: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Customer's side: the provider said no (or nothing that makes sense) to this step; the session is over."""

    step: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over; close the connection."""

    why: str


# --- to the provider's machine ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Continue:
    """One more SASL step: this challenge, not encoded."""

    challenge: bytes


@dataclass(frozen=True, slots=True)
class Granted:
    """The client is who it says."""


@dataclass(frozen=True, slots=True)
class Denied:
    """It is not; no reason is told."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nobody can say now."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Mail is there and leased: say 250 and turn."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """No turn now, for the reason in the reply; the session goes on."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Counted:
    """So many messages and octets wait."""

    messages: int
    octets: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Say why and close: a 421."""

    reply: Reply


ProviderEvent = Say | StartTls | AuthStep | TurnRequested | CountRequested | Ended | Waiting
ProviderAnswer = Continue | Granted | Denied | Unavailable | Turn | Refuse | Counted | Shutdown
CustomerEvent = Say | StartTls | Turned | Checked | Refused | Waiting


# --- from the sender, after the turn ----------------------------------------------------------------------------------


class Stage(enum.Enum):
    """Where a recipient's transaction stood when its outcome fell."""

    NOT_SENT = "not sent"  # nothing of it was said: the session ended before
    NEEDS_8BITMIME = "needs 8BITMIME"  # RFC 6152 3: the server does not offer it
    NEEDS_SMTPUTF8 = "needs SMTPUTF8"  # RFC 6531 3.2: the server does not offer it
    OVER_SIZE = "over the server's SIZE"  # RFC 1870 6.1
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"  # cut, or a reply, before the final dot
    DOT = "end of data"  # the reply to the final dot
    AFTER_DOT = "end of data sent, no reply; may be sent more than once"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The fact on which a disposition is decided: the stage, and the reply that fell there, if one did."""

    stage: Stage
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The sender can begin another transaction."""


@dataclass(frozen=True, slots=True)
class ContentWanted:
    """The server waits for this transaction's content."""

    key: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A transaction is over: one outcome a forward-path, in the order given."""

    key: int
    outcomes: tuple[Outcome, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class SenderEnded:
    """The session is over. `clean` when the server said 421 or 221, not when it broke the rules or the line broke."""

    clean: bool
    why: str


SenderEvent = Ready | ContentWanted | Finished | SenderEnded | Waiting


# --- the relay between the provider and a local server ---


@dataclass(frozen=True, slots=True)
class ToServer:
    """Write it to the local server."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ToProvider:
    """Write it to the provider."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Remember:
    """The local server has the message: make it durable that these were taken, before the provider hears what follows."""

    id: str
    forward_paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RelayEnded:
    """The session is over. `clean` when the provider said QUIT, or the local server 421."""

    why: str
    clean: bool
    by_421: bool = False


RelayEvent = ToServer | ToProvider | Remember | RelayEnded | Waiting
