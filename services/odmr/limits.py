"""How long things may take, and how many there may be, as the operator has set them. The defaults are RFC 5321 4.5.3.2's."""

from dataclasses import dataclass
from datetime import timedelta

from shared.domain.lease import MAX_SESSIONS
from shared.protocol.flight import BLOCK_TIME, REPLY_TIME, Step


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds. Before the turn: without a command (RFC 5321 4.5.3.2.7), and in all, since a stranger cannot stay.
    After it: by the command whose reply is waited for; `block` is for one block of content to be taken.
    """

    idle: float = 300.0
    login: float = 1_800.0
    greeting: float = REPLY_TIME[Step.GREETING]
    mail: float = REPLY_TIME[Step.MAIL]
    rcpt: float = REPLY_TIME[Step.RCPT]
    data: float = REPLY_TIME[Step.DATA]
    block: float = BLOCK_TIME
    dot: float = REPLY_TIME[Step.DOT]
    #: Between two signs of life on a live session. Exim closes after 300 s of silence; R63: 240 at most.
    noop: float = 240.0
    #: After so long a live session ends with QUIT; the customer calls again.
    live: float = 86_400.0
    #: Sessions of one customer at a time.
    sessions: int = MAX_SESSIONS
    #: The least time between two ATRN of one credential; zero for no such limit. RFC 2645 5.2.1.
    atrn_interval: timedelta = timedelta(0)

    def reply(self, step: Step) -> float:
        """Seconds for the reply to this command; to EHLO, HELO, RSET and NOOP as to MAIL."""
        by_step = {
            Step.GREETING: self.greeting,
            Step.RCPT: self.rcpt,
            Step.DATA: self.data,
            Step.DOT: self.dot,
            Step.QUIT: min(REPLY_TIME[Step.QUIT], self.mail),
        }
        return by_step.get(step, self.mail)
