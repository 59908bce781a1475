"""Content on the wire: every form of end-of-data and line end, every cut, both ways. RFC 5321 4.5.2; R53, R73."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.protocol.dotstuff import BareLineEnd, ContentReader, ContentWriter
from tests.protocol.cutting import cuts

PARTS = [b"\r\n", b"\r", b"\n", b".", b"x", b"\0", b"\xff"]
wild = st.lists(st.sampled_from(PARTS), max_size=24).map(b"".join)
clean = st.lists(st.sampled_from([b"\r\n", b".", b"..", b"x", b"\0", b"\xff"]), max_size=24).map(
    lambda parts: b"".join(parts) + b"\r\n"
)


def reference(stream: bytes) -> tuple[bytes, bytes]:
    """The same by the book, all at once: content and what stands behind it."""
    stream = b"\r\n" + stream
    end = stream.index(b"\r\n.\r\n")
    content = re.sub(rb"\r\n\.", b"\r\n", stream[: end + 2])
    return re.sub(rb"\r\n|\r|\n", b"\r\n", content)[2:], stream[end + 5 :]


def read(pieces: list[bytes]) -> tuple[bytes, bytes, bool]:
    reader, content, rest = ContentReader(), b"", b""
    for piece in pieces:
        if reader.is_complete:
            rest += piece
        else:
            content += reader.feed(piece)
            rest = reader.rest
    return content, rest, reader.is_complete


@settings(max_examples=500)
@given(st.data())
def test_any_cut_is_read_as_the_book_says(data: st.DataObject) -> None:
    stream = data.draw(wild) + b"\r\n.\r\nMAIL FROM:<next@example.org>\r\n"
    content, rest, is_complete = read(data.draw(cuts(stream)))
    assert is_complete
    assert (content, rest) == reference(stream)


@settings(max_examples=500)
@given(st.data())
def test_what_is_written_is_read_back(data: st.DataObject) -> None:
    """R53: every octet, and CRLF alone ends a line on the wire."""
    content = data.draw(clean)
    pieces = _not_between_cr_and_lf(data.draw(cuts(content)))
    writer = ContentWriter()
    wire = b"".join(writer.write(piece) for piece in pieces) + writer.finish()
    assert read([wire]) == (content, b"", True)
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", wire) is None


def _not_between_cr_and_lf(pieces: list[bytes]) -> list[bytes]:
    joined: list[bytes] = []
    for piece in pieces:
        if joined and joined[-1].endswith(b"\r"):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


LINE_ENDS = [b"", b"\r", b"\n", b"\r\n", b"\n\r", b"\r\r\n", b"\n\n", b"\r\n\r", b"\0\r\n", b"\r\n\0"]


@pytest.mark.parametrize(("before", "after"), list(itertools.product(LINE_ENDS, LINE_ENDS)))
def test_only_crlf_dot_crlf_ends_data(before: bytes, after: bytes) -> None:
    """Smuggling: 100 forms, each at every cut into two. RELIABILITY T1."""
    form = b"a" + before + b"." + after + b"b\r\n"
    stream = form + b".\r\nREST"
    # The book: the first CRLF "." CRLF is the end, wherever it stands.
    expected = reference(stream)
    for place in range(1, len(stream)):
        content, rest, is_complete = read([stream[:place], stream[place:]])
        assert is_complete and (content, rest) == expected, (form, place)
        assert re.search(rb"(?<!\r)\n|\r(?!\n)", content) is None


@pytest.mark.parametrize("chunk", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\n\n", b"\r"])
def test_a_bare_line_end_is_never_written(chunk: bytes) -> None:
    with pytest.raises(BareLineEnd):
        ContentWriter().write(chunk)


def test_content_without_a_last_line_end_gets_one() -> None:
    writer = ContentWriter()
    assert writer.write(b"x") + writer.finish() == b"x\r\n.\r\n"


def test_empty_content() -> None:
    assert read([b".\r\n"]) == (b"", b"", True)
    assert ContentWriter().finish() == b".\r\n"
