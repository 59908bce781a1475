"""The one line reader of the whole program. RFC 5321 2.3.8.

A line ends at LF and one CR before it belongs to the line end; what a stray CR or NUL inside a line means is for the
grammar, which refuses it. Content is not read here: see dotstuff.
"""

from typing import Final

#: Octets of a command line on the ODMR port. RFC 4954 4 asks for 12,288 for AUTH; fetchmail sends long ATRN lists.
MAX_ODMR_LINE: Final = 12_288
#: Octets of a command line on the MX. Postfix line_length_limit.
MAX_SMTP_LINE: Final = 2_048
#: Octets of one line of a reply. RFC 5321 4.5.3.1.5 says 512; Postfix takes 2,048.
MAX_REPLY_LINE: Final = 2_048


class LineTooLong(Exception):
    """A line passed the limit. It is thrown away up to its end; the next call goes on behind it."""


class LineBuffer:
    """Cuts a stream of bytes into lines, in linear time and bounded memory."""

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._buffer = bytearray()
        self._searched = 0
        self._discarding = False

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Adds bytes as they came."""
        self._buffer += data

    def next_line(self) -> bytes | None:
        """The next whole line without its end, or None. Raises LineTooLong once for each line over the limit."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            if len(self._buffer) > self._max_line:
                self._discarding = True
                self._buffer.clear()
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        if self._discarding or end + 1 > self._max_line:
            self._discarding = False
            raise LineTooLong
        return line[:-1] if line.endswith(b"\r") else line

    def take_rest(self) -> bytes:
        """Everything unread, which leaves the buffer: for whoever reads the stream next."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return rest

    def push_back(self, data: bytes) -> None:
        """Puts bytes in front again: what the reader of content found behind its end."""
        self._buffer[:0] = data
        self._searched = 0
