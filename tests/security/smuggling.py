"""Forms of an end of data that is none, and lax servers that would take each for one. RELIABILITY T1, CVE-2023-51764 to -51766."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product

from shared.protocol.dotstuff import ContentReader

END = b"\r\n.\r\n"


def forms() -> list[bytes]:
    """Up to three line-end octets on each side of a dot, with a NUL before it, behind it, or none; the real end is not one."""
    ends = [b"".join(one) for n in range(4) for one in product((b"\r", b"\n"), repeat=n)]
    made = [
        before + nul + b"." + other + after
        for nul, other in ((b"", b""), (b"\0", b""), (b"", b"\0"))
        for before, after in product(ends, ends)
    ]
    return [form for form in dict.fromkeys(made) if END not in b"x" + form + b"y"]


def body(number: int, form: bytes) -> bytes:
    """Content with a form in it, and behind it what a smuggler would have run as commands."""
    return (
        b"Subject: f%d\r\n\r\nbefore" % number
        + form
        + b"MAIL FROM:<smuggled@evil.example>\r\nRCPT TO:<victim@x.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"
    )


#: What each kind of lax server takes for the end of data, besides the real one. RELIABILITY T1.
LAX = {
    "LF.LF": rb"\n\.\n|\r\n\.\r\n",
    "LF.CRLF": rb"\n\.\r\n",
    "CRLF.LF": rb"\r\n\.\r?\n",
    "CR.CR": rb"\r\.\r|\r\n\.\r\n",
}


class LaxServer:
    """A customer's server of one kind; `messages` are what it took for messages, each as it came."""

    def __init__(self, kind: str) -> None:
        self._end = re.compile(LAX[kind])
        self.messages: list[bytes] = []
        self.commands: list[bytes] = []
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["LaxServer"]:
        """On a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        writer.write(b"220 lax.example\r\n")
        try:
            while True:
                while b"\n" not in data:
                    if not (more := await reader.read(65_536)):
                        return
                    data += more
                line, data = re.split(rb"\r?\n", data, maxsplit=1)
                self.commands.append(line)
                verb = line.split(b" ")[0].upper()
                if verb == b"DATA":
                    writer.write(b"354 go\r\n")
                    content = b"\r\n" + data
                    while not (found := self._end.search(content)):
                        if not (more := await reader.read(65_536)):
                            return
                        content += more
                    self.messages.append(content[2 : found.start()])
                    data = content[found.end() :]
                writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    return
        except ConnectionError:
            pass
        finally:
            writer.close()


def read_in_every_split(content: bytes) -> int:
    """Fails unless the reader ends at the real end alone, wherever it is split, with no bare CR or LF; gives the splits."""
    wire = content + b".\r\n"
    whole = _read([wire])
    assert b"\r" not in whole.replace(b"\r\n", b"") and b"\n" not in whole.replace(b"\r\n", b"")
    for at in range(1, len(wire)):
        assert _read([wire[:at], wire[at:]]) == whole
    return len(wire) - 1


def _read(pieces: list[bytes]) -> bytes:
    reader, got = ContentReader(), b""
    for i, piece in enumerate(pieces):
        assert not reader.is_complete, "an end before the end"
        got += reader.feed(piece)
        assert reader.is_complete is (i == len(pieces) - 1)
    assert reader.rest == b""
    return got
