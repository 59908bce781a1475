"""How long the connector waits between two calls."""

from dataclasses import replace

from connector.outcome import Exit, Outcome
from connector.pauses import FIRST, JITTER, LASTED, Pauses

EVERY = 300.0
EMPTY = Outcome(Exit.OK, "the queue is empty")
GONE = Outcome(Exit.GONE, "cannot be reached")
CUT = Outcome(Exit.CUT, "the line broke")


def waits(*calls: tuple[Outcome, float]) -> list[float]:
    """What they would be without chance."""
    pauses = Pauses(EVERY, lambda: 0.0)
    return [pauses.after(outcome, lasted) for outcome, lasted in calls]


def test_an_empty_queue_is_asked_for_after_the_interval() -> None:
    assert waits((EMPTY, 0.1), (EMPTY, 0.1)) == [EVERY, EVERY]


def test_a_live_session_is_there_again_after_a_second_however_it_ended() -> None:
    for ended in (CUT, replace(EMPTY, was_live=True), replace(CUT, was_live=True)):
        assert waits((ended, LASTED), (ended, 3600.0), (replace(ended, taken=1), 0.1)) == [FIRST, FIRST, FIRST]


def test_calls_that_come_to_nothing_wait_longer_and_a_good_one_begins_anew() -> None:
    said = waits(*[(GONE, 0.1)] * 16, (replace(CUT, taken=3), 1.0), (GONE, 0.1))
    assert said[:4] == [1.0, 2.0, 4.0, 8.0] and said[-2:] == [1.0, 2.0]


def test_no_wait_is_longer_than_the_interval() -> None:
    """A provider that was away for an hour has its customers back as soon as one that was away for ten minutes."""
    for outcome in (GONE, CUT, Outcome(Exit.OTHER, "no")):
        assert max(waits(*[(outcome, 0.1)] * 30)) == EVERY
        pauses = Pauses(1.0)
        assert max(pauses.after(outcome, 0.1) for _ in range(30)) <= 1.0


def test_mail_that_another_session_still_has_is_asked_for_again_soon() -> None:
    busy = Outcome(Exit.NOT_YOURS, "450 Another session has your mail")
    assert waits((replace(CUT, taken=5), 9.0), *[(busy, 0.1)] * 5) == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]


def test_a_local_server_that_breaks_off_after_it_took_mail_is_called_again_at_once() -> None:
    broke = replace(CUT, ended_by_server=True)
    assert waits((replace(broke, taken=1), 0.1), (broke, 0.1), (broke, 0.1)) == [0.0, FIRST, 2 * FIRST]


def test_a_fifth_of_a_wait_is_left_to_chance() -> None:
    assert Pauses(EVERY, lambda: 1.0).after(EMPTY, 0.1) == EVERY * (1 - JITTER)
    assert len({Pauses(EVERY).after(EMPTY, 0.1) for _ in range(20)}) > 1
