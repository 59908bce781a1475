"""The line reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.wire import LineBuffer, LineTooLong
from tests.protocol.cutting import cuts


def read_all(lines: LineBuffer) -> list[bytes | str]:
    got: list[bytes | str] = []
    while True:
        try:
            line = lines.next_line()
        except LineTooLong:
            got.append("too long")
            continue
        if line is None:
            return got
        got.append(line)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"EHLO a\r\nQUIT\r\n", [b"EHLO a", b"QUIT"]),
        (b"EHLO a\nQUIT\n", [b"EHLO a", b"QUIT"]),
        (b"a\rb\r\r\n", [b"a\rb\r"]),
        (b"no end", []),
        (b"\r\n\r\n", [b"", b""]),
        (b"x" * 20 + b"\r\nok\r\n", ["too long", b"ok"]),
        (b"12345678\r\n", [b"12345678"]),
        (b"123456789\r\n", ["too long"]),
    ],
)
def test_lines(data: bytes, expected: list[bytes | str]) -> None:
    lines = LineBuffer(10)
    lines.feed(data)
    assert read_all(lines) == expected


@given(st.data())
def test_any_cut_gives_the_same_lines(data: st.DataObject) -> None:
    stream = data.draw(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"x" * 12]), max_size=30).map(b"".join))
    whole = LineBuffer(10)
    whole.feed(stream)
    cut, got = LineBuffer(10), []
    for piece in data.draw(cuts(stream)) if stream else []:
        cut.feed(piece)
        got += read_all(cut)
    assert got == read_all(whole)


def test_a_line_without_end_is_not_kept() -> None:
    lines = LineBuffer(1_000)
    for _ in range(1_000):
        lines.feed(b"x" * 1_000)
        assert lines.next_line() is None
        assert len(lines) <= 2_000


def test_what_is_pushed_back_is_read_first() -> None:
    lines = LineBuffer(100)
    lines.feed(b"second\r\n")
    lines.push_back(b"first\r\n")
    assert read_all(lines) == [b"first", b"second"]
