"""What becomes of a recipient after an attempt: the table of DESIGN, "Where a message goes, by state".

Unknown means temporary. A refusal before the content is kept on for the first hours, so that a half-configured server
bounces nothing.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, assert_never

from shared.domain.retry import back_off
from shared.protocol.events import Outcome, Stage

#: How long after its arrival a message is queued on although the customer's server refuses the envelope with a 5xx.
DEFAULT_FAIL_AFTER: Final = timedelta(hours=4)
#: After so many losses of its lease, or faults of our own code, a message is a suspect and is sent alone: the first may be
#: another's, of all that one process had in its hands when it died.
SUSPECT_FROM: Final = 2
#: After so many it is held when one more comes: then it was alone, twice. Decision 16.
MAX_FAULTS: Final = 3
#: Refusals that follow from an earlier one or from a misunderstanding, and say nothing of the message.
CONSEQUENCES: Final = frozenset({500, 502, 503})


@dataclass(frozen=True, slots=True)
class Delivered:
    """The customer's server has it. A DSN is owed when one was asked for and that server knows none (RFC 3461 5.2.2)."""

    reply: str
    owes_dsn: bool = False


@dataclass(frozen=True, slots=True)
class Deferred:
    """Queued again, not before `delay`; an explicit ATRN of a later session overrides it."""

    reply: str
    delay: timedelta


@dataclass(frozen=True, slots=True)
class Failed:
    """Refused for good; a DSN is due."""

    reply: str


@dataclass(frozen=True, slots=True)
class Uncertain:
    """All of it was sent and no reply came: queued again, may be sent twice."""

    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """It cannot go to this server as it is; an operator or a setting decides."""

    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    """Our own code failed on it: tried again, from the second time on alone, and held for an operator in the end."""

    reason: str


Disposition = Delivered | Deferred | Failed | Uncertain | Held | Broken

_NOW: Final = timedelta(0)


def decide(
    outcome: Outcome,
    *,
    attempts: int,
    age: timedelta,
    fail_after: timedelta = DEFAULT_FAIL_AFTER,
    holds_refused: bool = False,
    owes_success: bool = False,
) -> Disposition:
    """The disposition of a recipient that was tried `attempts` times before and arrived `age` ago.

    `fail_after` and `holds_refused` are its domain's policies; `owes_success` when a success is ours to tell.
    """
    decided = _decide(outcome, attempts, is_old=age >= fail_after)
    match decided:
        case Failed(reply) if holds_refused:
            return Held(reply)
        case Delivered(reply):
            return Delivered(reply, owes_success)
        case _:
            return decided


def _decide(outcome: Outcome, attempts: int, *, is_old: bool) -> Disposition:
    text = str(outcome.reply) if outcome.reply else outcome.stage.value
    match outcome.stage:
        case Stage.AFTER_DOT:
            return Uncertain(text)
        case Stage.NOT_SENT | Stage.CONTENT:
            return Deferred(text, _NOW)
        case Stage.NEEDS_8BITMIME:
            return Held(text)
        case Stage.OVER_SIZE | Stage.NEEDS_SMTPUTF8:  # RFC 1870 6.1, RFC 6531 3.2: so it is for ever
            return Failed(text)
        case Stage.MAIL | Stage.RCPT | Stage.DATA:
            return _refused(outcome, text, attempts, is_final=is_old)
        case Stage.DOT:
            if outcome.reply is not None and outcome.reply.is_positive:
                return Delivered(text)
            return _refused(outcome, text, attempts, is_final=True)
        case _:
            assert_never(outcome.stage)


def _refused(outcome: Outcome, text: str, attempts: int, *, is_final: bool) -> Disposition:
    code = outcome.reply.code if outcome.reply else 0
    if code == 421:  # the server leaves: the session is over, and this row is not worse than another
        return Deferred(text, _NOW)
    if code in CONSEQUENCES:
        return Deferred(text, back_off(attempts))
    too_many = code == 552 and outcome.stage is Stage.RCPT  # RFC 5321 4.5.3.1.10
    if code >= 500 and is_final and not too_many:
        return Failed(text)
    return Deferred(text, back_off(attempts))
