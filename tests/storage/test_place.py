"""Where a session looks next, without a database."""

from datetime import UTC, datetime

from shared.storage.place import LONG_AGO, LOOK_BACK, Look, Place

NINE, TEN = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (9, 10))
SUSPECT = Look(LONG_AGO, 1, are_suspects=True)
ALL = Look(LONG_AGO, 64)


def test_a_new_session_begins_at_the_oldest() -> None:
    assert Place().looks(5.0, 64) == [ALL, SUSPECT]


def test_what_was_passed_comes_behind_what_is_ahead() -> None:
    place = Place()
    place.looked(ALL, 5.0, NINE)
    assert place.looks(5.1, 64) == [Look(NINE, 64), ALL, SUSPECT]


def test_who_always_finds_mail_ahead_looks_back_and_at_suspects_once_a_second() -> None:
    place = Place()
    place.looked(ALL, 5.0, NINE)
    place.looked(Look(NINE, 64), 5.5, TEN)
    due = 5.0 + LOOK_BACK
    assert place.looks(due, 64) == [SUSPECT, ALL]
    place.looked(SUSPECT, due, None)
    place.looked(ALL, due, TEN)
    assert place.looks(due + 0.1, 64) == [Look(TEN, 64), ALL, SUSPECT]


def test_other_mail_comes_between_two_suspects() -> None:
    place = Place()
    place.looked(SUSPECT, 5.0, NINE)
    assert place.looks(5.1, 64) == [ALL, SUSPECT]
    place.looked(ALL, 5.1, TEN)
    assert place.looks(5.1, 64)[0] == SUSPECT
    place.looked(SUSPECT, 5.1, NINE)
    assert place.looks(5.2, 64)[0] == Look(TEN, 64)


def test_who_found_nothing_has_looked_everywhere() -> None:
    place = Place()
    place.looked(ALL, 5.0, NINE)
    for look in place.looks(5.1, 64):
        place.looked(look, 5.1, None)
    assert place.looks(500.0, 64) == [Look(NINE, 64), ALL, SUSPECT]
