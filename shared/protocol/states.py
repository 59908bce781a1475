"""The legal moves, as data; the only place that says them. RFC 2645 4 and 5, RFC 3207, RFC 4954.

A command whose state has no row for it is refused with what REFUSALS says, else with 502 (known verb) or 500. Both
tables and docs/states.md are read from here. An ATRN granted leads to TURNED, from which no arrow leads back.
"""

import enum
from typing import Final

from shared.protocol import reply as r
from shared.protocol.events import (
    Continue,
    Counted,
    Denied,
    Granted,
    ProviderAnswer,
    Refuse,
    Shutdown,
    Turn,
    Unavailable,
)


class State(enum.Enum):
    """Where the provider's side of a session stands, and who moves it on."""

    CONNECTED = "connected"  # the customer, with EHLO
    INITIAL = "initial"  # the customer, with AUTH or STARTTLS (RFC 2645 5.1)
    SECURING = "securing"  # the driver, when the handshake is done
    VERIFYING = "verifying"  # the driver, with auth's answer
    CHALLENGED = "challenged"  # the customer, with a response
    AUTHENTICATED = "authenticated"  # the customer, with ATRN (RFC 2645 5.2)
    COUNTING = "counting"  # the driver, with what the spool says
    TURNING = "turning"  # the driver, with what the spool says
    TURNED = "turned"  # nobody: the sender has the line
    CLOSED = "closed"  # nobody


#: state -> verb -> the state it leads to. A verb that leads to its own state is answered and changes nothing.
COMMANDS: Final[dict[State, dict[str, State]]] = {
    State.CONNECTED: {
        "EHLO": State.INITIAL,
        "NOOP": State.CONNECTED,
        "RSET": State.CONNECTED,
        "QUIT": State.CLOSED,
    },
    State.INITIAL: {
        "EHLO": State.INITIAL,
        "NOOP": State.INITIAL,
        "RSET": State.INITIAL,
        "STARTTLS": State.SECURING,
        "AUTH": State.VERIFYING,
        "QUIT": State.CLOSED,
    },
    State.AUTHENTICATED: {
        "EHLO": State.AUTHENTICATED,  # RFC 4954 does not take the authentication away
        "NOOP": State.AUTHENTICATED,
        "RSET": State.AUTHENTICATED,
        "ATRN": State.TURNING,
        "XODMR LIVE": State.AUTHENTICATED,
        "XODMR ID": State.AUTHENTICATED,
        "XODMR STAT": State.COUNTING,
        "QUIT": State.CLOSED,
    },
}

#: What the driver answers, and where that leads. An absent key is a mistake of ours.
ANSWERS: Final[dict[State, dict[type[ProviderAnswer], State]]] = {
    State.CONNECTED: {Shutdown: State.CLOSED},
    State.INITIAL: {Shutdown: State.CLOSED},
    State.SECURING: {Shutdown: State.CLOSED},
    State.VERIFYING: {
        Continue: State.CHALLENGED,
        Granted: State.AUTHENTICATED,
        Denied: State.INITIAL,
        Unavailable: State.INITIAL,
        Shutdown: State.CLOSED,
    },
    State.CHALLENGED: {Shutdown: State.CLOSED},
    State.AUTHENTICATED: {Shutdown: State.CLOSED},
    State.COUNTING: {Counted: State.AUTHENTICATED, Refuse: State.AUTHENTICATED, Shutdown: State.CLOSED},
    State.TURNING: {Turn: State.TURNED, Refuse: State.AUTHENTICATED, Shutdown: State.CLOSED},
}

#: Refusals that say more than 502. RFC 2645 5.2.1: without authentication ATRN is 530, even before EHLO.
REFUSALS: Final[dict[tuple[State, str], r.Reply]] = {
    (State.CONNECTED, "ATRN"): r.S530_AUTH_FIRST,
    (State.CONNECTED, "AUTH"): r.S503_EHLO_FIRST,
    (State.CONNECTED, "STARTTLS"): r.S503_EHLO_FIRST,
    (State.INITIAL, "ATRN"): r.S530_AUTH_FIRST,
    (State.CONNECTED, "XODMR LIVE"): r.S530_AUTH_FIRST,
    (State.CONNECTED, "XODMR ID"): r.S530_AUTH_FIRST,
    (State.CONNECTED, "XODMR STAT"): r.S530_AUTH_FIRST,
    (State.INITIAL, "XODMR LIVE"): r.S530_AUTH_FIRST,
    (State.INITIAL, "XODMR ID"): r.S530_AUTH_FIRST,
    (State.INITIAL, "XODMR STAT"): r.S530_AUTH_FIRST,
    (State.AUTHENTICATED, "AUTH"): r.S503_AUTHENTICATED_ALREADY,
    (State.AUTHENTICATED, "STARTTLS"): r.S503_AUTHENTICATED_ALREADY,
}

#: What a port that requires TLS takes before it. RFC 3207 4.
IN_CLEAR: Final = frozenset({"NOOP", "EHLO", "STARTTLS", "QUIT"})

#: Commands of SMTP that this service does not have. RFC 2645 5.4: 502.
ELSEWHERE: Final = frozenset({"HELO", "MAIL", "RCPT", "DATA", "BDAT", "VRFY", "EXPN", "HELP", "ETRN", "TURN", *(
    verb for moves in COMMANDS.values() for verb in moves
)})  # fmt: skip


def refusal(state: State, verb: str) -> r.Reply:
    """What to say to a verb that has no row."""
    if (state, verb) in REFUSALS:
        return REFUSALS[state, verb]
    return r.S502_NOT_HERE if verb in ELSEWHERE else r.S500_UNKNOWN_COMMAND
