"""Content on the wire: dots, line ends and the end of data. RFC 5321 4.5.2 and 2.3.8.

Security: only CRLF "." CRLF ends data (smuggling: CVE-2023-51764 and its family). What comes in with a bare CR or LF
is normalised to CRLF, and what goes out has none, so that no lax server behind us sees an end of data that is none.
"""

import re
from typing import Final

_END: Final = b"\r\n.\r\n"
_LINE_ENDS: Final = re.compile(rb"\r\n|\r|\n")


class ContentReader:
    """Takes content as it arrives, whole buffers at a time; gives it back unstuffed and with CRLF line ends.

    The bytes given are complete: put together they are the content, which ends in CRLF or is empty.
    """

    def __init__(self) -> None:
        # A CRLF that is not there stands before the first line, so that a dot at the start is seen as any other.
        self._tail = b"\r\n"
        self._strip = 2
        self._rest: bytes | None = None
        #: A bare CR or LF was seen (and normalised).
        self.has_bare_line_ends = False

    @property
    def is_complete(self) -> bool:
        """The end of data was read."""
        return self._rest is not None

    @property
    def rest(self) -> bytes:
        """What stood behind the end of data: the next command."""
        return self._rest or b""

    def feed(self, data: bytes) -> bytes:
        """Takes bytes from the wire and gives the content that is certain by now."""
        data = self._tail + data
        end = data.find(_END)
        if end >= 0:
            self._rest = data[end + len(_END) :]
            self._tail = b""
            return self._decode(data[: end + 2])
        keep = _undecided(data)
        self._tail = data[len(data) - keep :] if keep else b""
        return self._decode(data[: len(data) - keep])

    def _decode(self, data: bytes) -> bytes:
        data = data.replace(b"\r\n.", b"\r\n")
        lines = data.count(b"\r\n")
        if data.count(b"\n") != lines or data.count(b"\r") != lines:
            self.has_bare_line_ends = True
            data = _LINE_ENDS.sub(b"\r\n", data)
        if self._strip and data:
            data, self._strip = data[self._strip :], 0
        return data


def _undecided(data: bytes) -> int:
    """How many octets at the end might begin an end of data, or be half a line end."""
    for size in (4, 3, 2, 1):
        if data.endswith(_END[:size]):
            return size
    return 0


class BareLineEnd(Exception):
    """Stored content has a CR or LF alone: it must not reach the wire."""


def check_line_ends(chunk: bytes) -> None:
    """Raises BareLineEnd. A chunk may end anywhere but between CR and LF."""
    lines = chunk.count(b"\r\n")
    if chunk.count(b"\n") != lines or chunk.count(b"\r") != lines:
        raise BareLineEnd


class ContentWriter:
    """Stuffs content for the wire, chunk by chunk; a chunk may end anywhere but between CR and LF."""

    def __init__(self) -> None:
        self._at_line_start = True

    def write(self, chunk: bytes) -> bytes:
        """The chunk as it goes on the wire. Raises BareLineEnd."""
        check_line_ends(chunk)
        if not chunk:
            return b""
        stuffed = chunk.replace(b"\r\n.", b"\r\n..")
        if self._at_line_start and chunk.startswith(b"."):
            stuffed = b"." + stuffed
        self._at_line_start = chunk.endswith(b"\r\n")
        return stuffed

    def finish(self) -> bytes:
        """The end of data; a last line without its end gets one."""
        return b".\r\n" if self._at_line_start else b"\r\n.\r\n"
