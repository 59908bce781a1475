"""A small SMTP server that keeps what it gets, as a customer's own would: for the demo and for tests. RFC 5321.

`answer` decides the reply to each content, `answer_recipient` to each RCPT; `hear_part` hears the beginning of a large one
while the rest is on its way; after `most` messages a connection ends with 421.
"""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from shared.protocol import reply as r
from shared.protocol.dotstuff import ContentReader
from shared.protocol.grammar import BadSyntax, Command, parse_command, parse_mail, parse_rcpt
from shared.protocol.reply import Reply
from shared.protocol.wire import MAX_SMTP_LINE, LineBuffer, LineTooLong

READ_SIZE: Final = 64 * 1024
#: Octets of a content that `hear_part` hears.
PART: Final = 256 * 1024
#: Seconds after which a server that only prints forgets.
FORGET_EVERY: Final = 1.0
#: Seconds for the peer to end after our 421.
LEAVE_TIME: Final = 30.0
KEYWORDS: Final = ("PIPELINING", "8BITMIME", "SIZE 0", "CHUNKING")


@dataclass(frozen=True, slots=True)
class Received:
    """One message as the customer's server got it."""

    reverse_path: str
    forward_paths: tuple[str, ...]
    content: bytes = field(repr=False)


def take(_message: Received) -> Reply:
    """The answer of a server that takes everything."""
    return r.S250_OK


def hear_nothing(_part: bytes) -> None:
    """A server that looks at a content when it is whole."""


def take_recipient(_forward_path: str) -> Reply:
    """The answer of a server that takes everybody."""
    return r.S250_RECIPIENT_OK


class Sink:
    """Listens, on a free port of 127.0.0.1 where no other is said; `messages` is what got a 2xx, in order."""

    def __init__(
        self,
        answer: Callable[[Received], Reply] = take,
        *,
        answer_recipient: Callable[[str], Reply] = take_recipient,
        hear_part: Callable[[bytes], None] = hear_nothing,
        keywords: tuple[str, ...] = KEYWORDS,
        most: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.messages: list[Received] = []
        self._host = host
        self.port = port
        self.answer_recipient = answer_recipient
        self.hear_part = hear_part
        self.most = most
        self._answer = answer
        self._keywords = keywords
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """From now on it takes mail."""
        self._server = await asyncio.start_server(self.serve, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Takes no more."""
        if self._server is not None:
            self._server.close()

    async def __aenter__(self) -> "Sink":
        """Started."""
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Stopped."""
        await self.stop()

    async def wait_for(self, count: int, seconds: float) -> None:
        """Returns when at least so many messages are here. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from wherever it comes."""
        with contextlib.suppress(ConnectionError, TimeoutError, LineTooLong):
            await _Dialogue(self, reader, writer).run()
        writer.close()

    def keep(self, message: Received) -> Reply:
        """Decides on a message, and keeps it when the answer is yes."""
        reply = self._answer(message)
        if reply.is_positive:
            self.messages.append(message)
            self._changed.set()
        return reply

    @property
    def hello(self) -> Reply:
        """The reply to EHLO."""
        return r.hello("mail.customer.example", self._keywords)


class _Dialogue:
    """One connection."""

    def __init__(self, sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sink = sink
        self._reader = reader
        self._writer = writer
        self._lines = LineBuffer(MAX_SMTP_LINE)
        self._reverse_path: str | None = None
        self._forward_paths: list[str] = []
        self._chunks: list[bytes] = []
        self._kept = 0

    async def run(self) -> None:
        """From the greeting to QUIT or the end."""
        self._say(r.greeting("mail.customer.example", "ESMTP"))
        while True:
            line = self._lines.next_line()
            if line is None:
                await self._writer.drain()
                data = await self._read()
                if not data:
                    return
                self._lines.feed(data)
                continue
            try:
                command = parse_command(line)
                if command.verb == "QUIT":
                    self._say(r.S221_BYE)
                    await self._writer.drain()
                    return
                await self._answer(command)
            except BadSyntax:
                self._say(r.S501_SYNTAX)

    async def _answer(self, command: Command) -> None:
        match command.verb:
            case "EHLO" | "HELO":
                self._reset()
                self._say(self._sink.hello)
            case "MAIL" if self._sink.most is not None and self._kept >= self._sink.most:
                self._say(r.S421_SHUTTING_DOWN)
                await self._leave()
                raise ConnectionResetError("enough for one connection")
            case "MAIL":
                self._reset()
                self._reverse_path = str(parse_mail(command.argument).path)
                self._say(r.S250_REVERSE_PATH_OK)
            case "RCPT":
                forward_path = str(parse_rcpt(command.argument).path)
                reply = self._sink.answer_recipient(forward_path)
                if reply.is_positive:
                    self._forward_paths.append(forward_path)
                self._say(reply)
            case "DATA" if self._reverse_path is not None and self._forward_paths:
                self._say(r.S354_GO_AHEAD)
                self._keep(self._reverse_path, await self._content())
            case "BDAT":
                await self._chunk(command.argument)
            case "RSET" | "NOOP":
                self._reset()
                self._say(r.S250_OK)
            case _:
                self._say(r.S503_MAIL_FIRST)

    def _keep(self, reverse_path: str, content: bytes) -> None:
        reply = self._sink.keep(Received(reverse_path, tuple(self._forward_paths), content))
        self._kept += reply.is_positive
        self._say(reply)
        self._reset()

    async def _chunk(self, argument: str) -> None:
        """RFC 3030 2: the octets are read whatever the answer is."""
        size, _, last = argument.partition(" ")
        if not size.isdigit() or last.upper() not in ("", "LAST"):
            raise BadSyntax("BDAT size [LAST]")
        data, is_heard = bytearray(self._lines.take_rest()), False
        while len(data) < int(size):
            if len(data) >= PART and not is_heard:
                self._sink.hear_part(bytes(data[:PART]))
                is_heard = True
            more = await self._read()
            if not more:
                raise ConnectionResetError("cut in a chunk")
            data += more
        self._lines.push_back(bytes(data[int(size) :]))
        if self._reverse_path is None or not self._forward_paths:
            self._say(r.S503_RCPT_FIRST)
            return
        self._chunks.append(bytes(data[: int(size)]))
        if last:
            self._keep(self._reverse_path, b"".join(self._chunks))
        else:
            self._say(r.S250_OK)

    async def _leave(self) -> None:
        """Reads what the peer has sent meanwhile: a close with octets unread may take our last replies from it (RFC 1122)."""
        await self._writer.drain()
        self._writer.write_eof()
        async with asyncio.timeout(LEAVE_TIME):
            while await self._read():
                pass

    async def _content(self) -> bytes:
        await self._writer.drain()
        reader, pieces = ContentReader(), []
        data = self._lines.take_rest()
        while True:
            pieces.append(reader.feed(data))
            if reader.is_complete:
                self._lines.push_back(reader.rest)
                return b"".join(pieces)
            data = await self._read()
            if not data:
                raise ConnectionResetError("cut in content")

    async def _read(self) -> bytes:
        """Acknowledges at once, so that fetchmail, which writes line by line, does not wait 40 ms a message."""
        data = await self._reader.read(READ_SIZE)
        sock = self._writer.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data

    def _reset(self) -> None:
        self._reverse_path = None
        self._forward_paths = []
        self._chunks = []

    def _say(self, reply: Reply) -> None:
        self._writer.write(reply.to_wire())


async def print_for_ever(listen: str) -> int:
    """A server that says what it took, a line each, until SIGTERM."""
    host, _, port = listen.rpartition(":")
    try:
        sink = Sink(_print, host=host.strip("[]"), port=int(port))
        await sink.start()
    except (OSError, ValueError):
        print(f"{listen} cannot be listened at: write HOST:PORT of a port that is free", file=sys.stderr)
        return 1
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    print(f"takes mail at {listen}", flush=True)
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), FORGET_EVERY)
        sink.messages.clear()
    await sink.stop()
    return 0


def _print(message: Received) -> Reply:
    subject = next((line for line in message.content.splitlines() if line.lower().startswith(b"subject:")), b"")
    to, size = ", ".join(message.forward_paths), len(message.content)
    print(f"from {message.reverse_path or '<>'} to {to}, {size} octets, {subject.decode(errors='replace')}", flush=True)
    return r.S250_OK
