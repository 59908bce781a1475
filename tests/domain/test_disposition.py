"""Where a message goes, by what the customer's server said: the table of docs/states.md, row by row."""

from datetime import timedelta

import pytest

from shared.domain.disposition import Deferred, Delivered, Disposition, Failed, Held, Uncertain, decide
from shared.domain.retry import FIRST_DELAY, MAX_DELAY, back_off
from shared.protocol.events import Outcome, Stage
from shared.protocol.reply import Reply

YOUNG, OLD = timedelta(minutes=1), timedelta(hours=5)


def reply(code: int) -> Reply:
    return Reply(code, "", ("text",))


@pytest.mark.parametrize(
    ("stage", "code", "age", "kind"),
    [
        (Stage.DOT, 250, YOUNG, Delivered),
        (Stage.DOT, 299, YOUNG, Delivered),
        (Stage.DOT, 354, YOUNG, Deferred),
        (Stage.DOT, 451, YOUNG, Deferred),
        (Stage.DOT, 421, YOUNG, Deferred),
        (Stage.DOT, 554, YOUNG, Failed),
        (Stage.DOT, 503, OLD, Deferred),
        (Stage.AFTER_DOT, 0, YOUNG, Uncertain),
        (Stage.CONTENT, 0, YOUNG, Deferred),
        (Stage.NOT_SENT, 0, OLD, Deferred),
        (Stage.MAIL, 550, YOUNG, Deferred),
        (Stage.MAIL, 550, OLD, Failed),
        (Stage.MAIL, 250, OLD, Deferred),
        (Stage.RCPT, 550, YOUNG, Deferred),
        (Stage.RCPT, 550, OLD, Failed),
        (Stage.RCPT, 552, OLD, Deferred),
        (Stage.RCPT, 450, OLD, Deferred),
        (Stage.DATA, 554, OLD, Failed),
        (Stage.DATA, 500, OLD, Deferred),
        (Stage.DATA, 502, OLD, Deferred),
        (Stage.NEEDS_8BITMIME, 0, OLD, Held),
        (Stage.OVER_SIZE, 0, YOUNG, Failed),
    ],
)
def test_dispositions(stage: Stage, code: int, age: timedelta, kind: type[Disposition]) -> None:
    outcome = Outcome(stage, reply(code) if code else None)
    assert type(decide(outcome, attempts=0, age=age)) is kind


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.DOT])
@pytest.mark.parametrize("code", range(200, 600, 7))
def test_only_the_reply_to_the_dot_delivers(stage: Stage, code: int) -> None:
    assert not isinstance(decide(Outcome(stage, reply(code)), attempts=3, age=OLD), Delivered)


@pytest.mark.parametrize("code", range(300, 600))
def test_nothing_but_2xx_delivers(code: int) -> None:
    assert not isinstance(decide(Outcome(Stage.DOT, reply(code)), attempts=0, age=OLD), Delivered)


def test_a_refusal_waits_before_it_is_tried_again_in_the_same_session() -> None:
    """Without a delay a session would lease the same row for ever."""
    for code in (450, 451, 500, 502, 503, 550, 354):
        decided = decide(Outcome(Stage.RCPT, reply(code)), attempts=0, age=YOUNG)
        assert isinstance(decided, Deferred) and decided.delay >= FIRST_DELAY


def test_back_off_doubles_to_an_hour() -> None:
    waits = [back_off(attempts) for attempts in range(40)]
    assert waits[0] == FIRST_DELAY and waits[1] == 2 * FIRST_DELAY
    assert waits == sorted(waits) and waits[-1] == MAX_DELAY
