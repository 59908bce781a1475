"""One transaction on its way: what was said of it, and what became of each of its recipients."""

import enum
from collections.abc import Mapping
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


#: Seconds for the reply to each command, and for a block of content to be taken. RFC 5321 4.5.3.2; EHLO, HELO, RSET and
#: NOOP as MAIL; after QUIT nothing is lost.
REPLY_TIME: Final[Mapping[Step, float]] = {
    **dict.fromkeys(Step, 300.0),
    Step.DATA: 120.0,
    Step.DOT: 600.0,
    Step.QUIT: 60.0,
}
BLOCK_TIME: Final = 180.0


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
    #: RFC 6531: its addresses or its header are not ASCII.
    needs_smtputf8: bool = False
    #: RET and ENVID, and for each forward-path NOTIFY and ORCPT, in wire form (shared.protocol.notification).
    mail_parameters: str = ""
    rcpt_parameters: tuple[str, ...] = ()
    #: What our connector knows the message by; "" for a peer that did not ask (DESIGN, decided 5).
    id: str = ""

    def refusal(self, keywords: Mapping[str, str]) -> Stage | None:
        """Why a server with these EHLO keywords cannot be sent it, or None. RFC 1870 6.1, 6152 3, 6531 3.2."""
        limit = keywords.get("SIZE", "")
        if self.needs_smtputf8 and "SMTPUTF8" not in keywords:
            return Stage.NEEDS_SMTPUTF8
        if self.has_eight_bit and "8BITMIME" not in keywords and not self.sends_eight_bit:
            return Stage.NEEDS_8BITMIME
        if limit.isascii() and limit.isdigit() and 0 < int(limit) < self.size:
            return Stage.OVER_SIZE
        return None

    def mail_command(self, keywords: Mapping[str, str]) -> str:
        """MAIL with the parameters that the server offers to take, and no others."""
        offered = {
            f"SIZE={self.size}": "SIZE" in keywords,
            "BODY=8BITMIME": self.has_eight_bit and "8BITMIME" in keywords,
            "SMTPUTF8": self.needs_smtputf8,
            self.mail_parameters: bool(self.mail_parameters) and "DSN" in keywords,
            f"XODMRID={self.id}": bool(self.id),
        }
        return " ".join((f"MAIL FROM:<{self.reverse_path}>", *(word for word, is_said in offered.items() if is_said)))

    def rcpt_command(self, recipient: int, keywords: Mapping[str, str]) -> str:
        """RCPT of one forward-path, with its DSN parameters where they are offered (RFC 3461 5.2.1)."""
        command = f"RCPT TO:<{self.forward_paths[recipient]}>"
        parameters = self.rcpt_parameters[recipient] if self.rcpt_parameters else ""
        return f"{command} {parameters}" if parameters and "DSN" in keywords else command


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
