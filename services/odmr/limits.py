"""How long things may take, and how many there may be, as the operator has set them. The defaults are RFC 5321 4.5.3.2's."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.domain.lease import MAX_SESSIONS
from shared.protocol.flight import Step

#: Seconds for the answer to EHLO, HELO, RSET and NOOP (as for MAIL), and to QUIT, after which nothing is lost.
_OTHER_REPLY: Final = 300.0
_QUIT_REPLY: Final = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds. Before the turn: without a command (RFC 5321 4.5.3.2.7), and in all, since a stranger cannot stay.
    After it: by the command whose reply is waited for; `block` is for one block of content to be taken.
    """

    idle: float = 300.0
    login: float = 1_800.0
    greeting: float = 300.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    block: float = 180.0
    dot: float = 600.0
    #: Between two signs of life on a live session. Exim closes after 300 s of silence; R63: 240 at most.
    noop: float = 240.0
    #: After so long a live session ends with QUIT; the customer calls again.
    live: float = 86_400.0
    #: Sessions of one customer at a time.
    sessions: int = MAX_SESSIONS
    #: The least time between two ATRN of one credential; zero for no such limit. RFC 2645 5.2.1.
    atrn_interval: timedelta = timedelta(0)

    def reply(self, step: Step) -> float:
        """Seconds for the reply to this command."""
        by_step = {
            Step.GREETING: self.greeting,
            Step.MAIL: self.mail,
            Step.RCPT: self.rcpt,
            Step.DATA: self.data,
            Step.DOT: self.dot,
            Step.QUIT: _QUIT_REPLY,
        }
        return by_step.get(step, _OTHER_REPLY)
