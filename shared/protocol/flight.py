"""One transaction on its way: what was said of it, and what became of each of its recipients."""

import enum
from dataclasses import dataclass, field
from typing import Final

from shared.protocol.events import Outcome, Stage
from shared.protocol.reply import Reply

#: Recipients in one transaction. RFC 5321 4.5.3.1.8: a server takes at least 100.
MAX_RECIPIENTS: Final = 100


class Step(enum.Enum):
    """A command that waits for its reply. The driver picks its time limit by it (RFC 5321 4.5.3.2)."""

    GREETING = "greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    DOT = "end of data"  # of BDAT LAST, too
    RSET = "RSET"
    NOOP = "NOOP"
    QUIT = "QUIT"


class Form(enum.Enum):
    """How commands go out; each is what the server offers and has shown that it can."""

    ONE_BY_ONE = enum.auto()  # each command waits for the reply to the one before
    GROUPED = enum.auto()  # RFC 2920: MAIL, RCPT, DATA in a group, behind the dot of the message before
    CHUNKED = enum.auto()  # RFC 3030: BDAT LAST, RSET, and the next MAIL, RCPT in a group
    WIDE = enum.auto()  # the same, with many messages in flight and nothing waited for


@dataclass(frozen=True, slots=True)
class Transaction:
    """One message for one or more forward-paths. `size` in octets, `key` is the driver's own name for it."""

    key: int
    reverse_path: str
    forward_paths: tuple[str, ...]
    size: int
    has_eight_bit: bool = False
    #: Send 8-bit content also to a server that does not say that it takes it (it most likely does).
    sends_eight_bit: bool = False


class Progress(enum.Enum):
    """How much of it has gone out."""

    ENVELOPE = enum.auto()
    CONTENT = enum.auto()
    ENDED = enum.auto()  # the last octet is in the buffer
    GONE = enum.auto()  # the last octet was given to the driver to write


#: What a transaction without a reply is when the line breaks.
_BROKEN: Final = {
    Progress.ENVELOPE: Stage.NOT_SENT,
    Progress.CONTENT: Stage.CONTENT,
    Progress.ENDED: Stage.CONTENT,
    Progress.GONE: Stage.AFTER_DOT,
}
_STAGES: Final = {Step.MAIL: Stage.MAIL, Step.DATA: Stage.DATA, Step.DOT: Stage.DOT}


@dataclass(slots=True, eq=False)
class Flight:
    """A transaction in flight, and how it was sent."""

    transaction: Transaction
    form: Form
    progress: Progress = Progress.ENVELOPE
    outcomes: list[Outcome | None] = field(init=False)

    def __post_init__(self) -> None:
        self.outcomes = [None] * len(self.transaction.forward_paths)

    @property
    def is_ended(self) -> bool:
        """All of it was said: the next may follow."""
        return self.progress in (Progress.ENDED, Progress.GONE)

    @property
    def has_takers(self) -> bool:
        """A recipient is left that was not refused."""
        return None in self.outcomes

    def heard(self, step: Step, recipient: int, reply: Reply) -> None:
        """Writes a refusal down for those it concerns and who have no outcome yet: the first refusal counts."""
        if reply.is_positive:
            return
        if step is Step.RCPT:
            self.outcomes[recipient] = self.outcomes[recipient] or Outcome(Stage.RCPT, reply)
        else:
            self.decide(Outcome(_STAGES[step], reply))

    def decide(self, outcome: Outcome) -> None:
        """The outcome of all who have none yet."""
        self.outcomes = [known or outcome for known in self.outcomes]

    def broken(self, *, by_421: bool) -> None:
        """The session is over. After a 421 the server has done nothing that it did not answer (RFC 5321 3.8)."""
        self.decide(Outcome(Stage.NOT_SENT if by_421 else _BROKEN[self.progress]))
