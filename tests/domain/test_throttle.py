"""Failures close a door for a while, and never for ever. R13, RELIABILITY T6."""

from datetime import timedelta

from shared.domain.throttle import BY_NAME, BY_SOURCE, doors_of, source_of


def test_r13_the_wait_doubles_and_has_an_end() -> None:
    waits = [BY_NAME.wait(failures).total_seconds() for failures in range(40)]
    assert waits[:12] == [0] * 10 + [1, 2]
    assert waits == sorted(waits) and max(waits) == 900
    assert max(BY_SOURCE.wait(failures) for failures in range(10_000)) == timedelta(minutes=1)


def test_a_source_is_an_address_or_a_link() -> None:
    assert source_of("192.0.2.1") == "192.0.2.1"
    assert source_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff%eth0") == "2001:db8::/64"
    assert source_of("2001:db8:0:1::1") != source_of("2001:db8::1")
    assert source_of("somewhere") == "somewhere"


def test_a_door_is_a_source_and_a_name() -> None:
    mine, hers = doors_of("192.0.2.1", "tim"), doors_of("192.0.2.1", "ann")
    assert list(mine.values()) == [BY_NAME, BY_SOURCE]
    assert len(mine.keys() & hers.keys()) == 1 and not mine.keys() & doors_of("192.0.2.2", "tim").keys()
    assert all(b"tim" not in key for key in mine)
