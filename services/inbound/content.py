"""Content as it arrives: counted, hashed, and written to the spool in chunks once it is large. Never all in memory."""

import hashlib
import re
from typing import Final

from services.inbound.policy import MAX_HEADER
from shared.domain.names import MessageId
from shared.storage.uploads import CHUNK, Uploads

#: Whole lines that are a header field or go one on. RFC 5322 2.2.
_HEADER_LINES: Final = re.compile(rb"(?:(?:[!-9;-~]+[ \t]*:|[ \t])[^\r]*\r\n)*")


class IncomingContent:
    """One message on its way in. `add` pieces in order, then `finish`; or `drop` it."""

    def __init__(self, uploads: Uploads, message_id: MessageId, max_size: int) -> None:
        self._uploads = uploads
        self._message_id = message_id
        self._max_size = max_size
        self._pending = bytearray()
        self._hash = hashlib.sha256()
        self._seq = 0
        self._received = 0
        self._header_ended = False
        self._header_read = 0
        #: Header section of what the sender sent, up to the empty line; bounded.
        self.header = bytearray()
        #: Octets of the message, our own lines included.
        self.size = 0
        self.has_eight_bit = False
        self.has_long_header = False
        #: The error of the database that made it impossible to keep the content; the sender hears 451 at the end.
        self.error: Exception | None = None

    @property
    def is_too_big(self) -> bool:
        """More than SIZE came; the rest is read and thrown away."""
        return self._received > self._max_size

    def limit(self, size: int | None) -> None:
        """Takes no more octets than that; None is no limit of its own."""
        self._max_size = min(self._max_size, size or self._max_size)

    async def prepend(self, lines: bytes) -> None:
        """Our own header lines, before anything of the sender's."""
        await self._keep(lines)

    async def add(self, piece: bytes) -> None:
        """A piece of what the sender sent."""
        self._received += len(piece)
        if self._is_lost():
            self._pending.clear()
            return
        if not self._header_ended:
            self._look_for_header_end(piece)
        await self._keep(piece)

    async def finish(self) -> bytes | None:
        """The content when it is small; None when all of it lies in the spool as an upload."""
        if not self._seq:
            return bytes(self._pending)
        await self._upload(len(self._pending))
        return None

    async def drop(self) -> None:
        """The message is not taken."""
        self._pending.clear()
        if self._seq:
            await self._uploads.drop(self._message_id)

    @property
    def sha256(self) -> bytes:
        """Of the content as it is kept."""
        return self._hash.digest()

    def _is_lost(self) -> bool:
        return self.is_too_big or self.has_long_header or self.error is not None

    async def _keep(self, piece: bytes) -> None:
        self.size += len(piece)
        self.has_eight_bit = self.has_eight_bit or not piece.isascii()
        self._hash.update(piece)
        self._pending += piece
        while len(self._pending) > CHUNK and self.error is None:
            await self._upload(_cut(self._pending))

    async def _upload(self, size: int) -> None:
        if not size or self.error is not None:
            return
        try:
            await self._uploads.add(self._message_id, self._seq, bytes(self._pending[:size]))
            self._seq += 1
        except Exception as error:  # kept, and told as 451 when the sender has said all
            self.error = error
        del self._pending[:size]

    def _look_for_header_end(self, piece: bytes) -> None:
        """The header section ends at an empty line, or, as MTAs read it, at the first line that is no header field."""
        self.header += piece[: MAX_HEADER + 1]
        lines = _HEADER_LINES.match(self.header, self._header_read)
        self._header_read = lines.end() if lines else self._header_read
        if self.header.find(b"\r\n", self._header_read) >= 0:
            del self.header[self._header_read :]
            self._header_ended = True
        if len(self.header) > MAX_HEADER:
            self.has_long_header = True
            self.header.clear()


def _cut(pending: bytearray) -> int:
    """Where to cut a chunk: behind the last line end within CHUNK, else anywhere but between CR and LF."""
    end = pending.rfind(b"\r\n", 0, CHUNK)
    if end >= 0:
        return end + 2
    return CHUNK - 1 if pending[CHUNK - 1 : CHUNK] == b"\r" else CHUNK
