"""Where mail goes on this side: an SMTP server at host:port, behind a UNIX socket, or a command that speaks it on its stdin.

A command is started for each call, from a list of words and never by a shell. One socket is its stdin and stdout, so that it
is joined with the provider like any other server, and sees an end when the provider does.
"""

import asyncio
import contextlib
import shlex
import socket
from dataclasses import dataclass
from typing import Final

from shared.tls import Stream, connect

#: Seconds that a command may take to end once its stdin has.
END_TIME: Final = 10.0


class BadAddress(ValueError):
    """It names no place; the text says what to write."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A socket in the file system."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its words, such as `sendmail -bs`."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"exec:{shlex.join(self.argv)}"


Deliver = Address | UnixSocket | Command


def parse_address(text: str, default_port: int | None = None) -> Address:
    """`host:port`, `[v6]:port`, or `host` where there is a default. Raises BadAddress."""
    host, found, port = text.rpartition(":")
    if not found or "]" in port:
        host, port = text, str(default_port or "")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise BadAddress(f"{text!r} is no address; write host:port, such as 127.0.0.1:25")
    return Address(host.strip("[]"), int(port))


def parse_deliver(text: str) -> Deliver:
    """Any of the three. Raises BadAddress."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise BadAddress(f"{text!r} is no socket; write unix:/path, from the root")
        return UnixSocket(path)
    if text.startswith("exec:"):
        try:
            argv = tuple(shlex.split(text.removeprefix("exec:")))
        except ValueError as error:
            raise BadAddress(f"{text!r} cannot be split into words: {error}") from None
        if not argv or not argv[0].startswith("/"):
            raise BadAddress(f"{text!r} names no program; write exec:/path/to/program and its words")
        return Command(argv)
    return parse_address(text)


@dataclass(frozen=True, slots=True)
class Local:
    """An open way to the local server. `process` is there when it is a command."""

    stream: Stream
    process: asyncio.subprocess.Process | None = None

    async def close(self) -> None:
        """Ends it, a command too: it has seen an end, and is given a while to come to its own."""
        self.stream.close()
        if self.process is None:
            return
        try:
            async with asyncio.timeout(END_TIME):
                await self.process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


async def open_local(deliver: Deliver) -> Local:
    """Calls or starts it. Raises OSError."""
    match deliver:
        case Address(host, port):
            return Local(await connect(host, port))
        case UnixSocket(path):
            return Local(await _connect_unix(path))
        case Command(argv):
            return await _start(argv)


async def _connect_unix(path: str) -> Stream:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, path)
    except BaseException:
        sock.close()
        raise
    return Stream(sock)


async def _start(argv: tuple[str, ...]) -> Local:
    ours, theirs = socket.socketpair()
    try:
        process = await asyncio.create_subprocess_exec(*argv, stdin=theirs.fileno(), stdout=theirs.fileno())
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Local(Stream(ours), process)
