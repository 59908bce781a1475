"""A small SMTP server that keeps what it gets, as a customer's own would: for the demo and for tests. RFC 5321.

It takes every recipient; `answer` decides the reply to each content.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from shared.protocol import reply as r
from shared.protocol.dotstuff import ContentReader
from shared.protocol.grammar import BadSyntax, Command, parse_command, parse_mail, parse_rcpt
from shared.protocol.reply import Reply
from shared.protocol.wire import MAX_SMTP_LINE, LineBuffer, LineTooLong

READ_SIZE: Final = 64 * 1024
KEYWORDS: Final = ("PIPELINING", "8BITMIME", "SIZE 0")


@dataclass(frozen=True, slots=True)
class Received:
    """One message as the customer's server got it."""

    reverse_path: str
    forward_paths: tuple[str, ...]
    content: bytes = field(repr=False)


def take(_message: Received) -> Reply:
    """The answer of a server that takes everything."""
    return r.S250_OK


class Sink:
    """Listens on a free port of 127.0.0.1; `messages` is what got a 2xx, in order."""

    def __init__(
        self, answer: Callable[[Received], Reply] = take, *, keywords: tuple[str, ...] = KEYWORDS, port: int = 0
    ) -> None:
        self.messages: list[Received] = []
        self.port = port
        self._answer = answer
        self._keywords = keywords
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """From now on it takes mail."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
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

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, LineTooLong):
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
            case "MAIL":
                self._reset()
                self._reverse_path = str(parse_mail(command.argument).path)
                self._say(r.S250_REVERSE_PATH_OK)
            case "RCPT":
                self._forward_paths.append(str(parse_rcpt(command.argument).path))
                self._say(r.S250_RECIPIENT_OK)
            case "DATA" if self._reverse_path is not None and self._forward_paths:
                self._say(r.S354_GO_AHEAD)
                content = await self._content()
                self._say(self._sink.keep(Received(self._reverse_path, tuple(self._forward_paths), content)))
                self._reset()
            case "RSET" | "NOOP":
                self._reset()
                self._say(r.S250_OK)
            case _:
                self._say(r.S503_MAIL_FIRST)

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
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data

    def _reset(self) -> None:
        self._reverse_path = None
        self._forward_paths = []

    def _say(self, reply: Reply) -> None:
        self._writer.write(reply.to_wire())
