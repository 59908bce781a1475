"""The stream: records on the wire, the handshake, and what can still be read when a write fails."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from localserve import certificates
from localserve.layout import Layout
from shared.clock import Clock
from shared.tls import Stream, client_context, connect, server_context

APPLICATION_DATA = 23


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    layout = Layout(tmp_path_factory.mktemp("tls"))
    layout.prepare()
    return certificates.prepare(layout, Clock())


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def records(wire: bytes) -> list[int]:
    """The types of the TLS records in these octets."""
    kinds = []
    while wire:
        kinds.append(wire[0])
        wire = wire[5 + int.from_bytes(wire[3:5], "big") :]
    return kinds


async def handshaken(
    files: tuple[Path, Path, Path], ours: socket.socket, theirs: socket.socket
) -> tuple[Stream, Stream]:
    server, client = Stream(ours), Stream(theirs)
    await asyncio.gather(
        server.start_tls(server_context(files[1], files[2]), server_side=True),
        client.start_tls(client_context(files[0]), server_side=False, hostname="localhost"),
    )
    return server, client


async def test_r64_one_line_a_record(
    files: tuple[Path, Path, Path], sockets: tuple[socket.socket, socket.socket]
) -> None:
    """fetchmail reads one line of a record, and then waits for the socket."""
    ours, theirs = sockets
    server, client = await handshaken(files, ours, theirs)
    await server.write(b"hello\r\n")
    assert await client.read() == b"hello\r\n"
    loop = asyncio.get_running_loop()
    await server.write_lines(b"one\r\ntwo\r\nthree\r\n")
    wire = await loop.sock_recv(theirs, 65_536)
    assert records(wire) == [APPLICATION_DATA] * 3
    await server.write(b"one\r\ntwo\r\nthree\r\n")
    wire = await loop.sock_recv(theirs, 65_536)
    assert records(wire) == [APPLICATION_DATA]


async def test_much_both_ways_at_once(
    files: tuple[Path, Path, Path], sockets: tuple[socket.socket, socket.socket]
) -> None:
    server, client = await handshaken(files, *sockets)
    noise = bytes(range(256)) * 8_192

    async def read_all(stream: Stream) -> bytes:
        got = b""
        while len(got) < len(noise):
            got += await stream.read()
        return got

    results = await asyncio.gather(server.write(noise), client.write(noise), read_all(server), read_all(client))
    assert list(results[2:]) == [noise, noise]
    client.close()
    assert await server.read() == b""


async def test_the_certificate_must_prove_the_name(
    files: tuple[Path, Path, Path], sockets: tuple[socket.socket, socket.socket]
) -> None:
    server, client = Stream(sockets[0]), Stream(sockets[1])
    serving = asyncio.create_task(server.start_tls(server_context(files[1], files[2]), server_side=True))
    with pytest.raises(ssl.SSLCertVerificationError):
        await client.start_tls(client_context(files[0]), server_side=False, hostname="mx.provider.example")
    with pytest.raises((ssl.SSLError, OSError)):
        await serving


async def test_what_was_said_before_a_failed_write_is_still_read(sockets: tuple[socket.socket, socket.socket]) -> None:
    """A reply to the final dot may stand in front of the break: asyncio's transports would drop it."""
    ours, theirs = sockets
    stream = Stream(ours)
    theirs.sendall(b"250 got it\r\n")
    theirs.close()
    with pytest.raises(OSError):
        await stream.write(b"QUIT\r\n")
    assert await stream.read() == b"250 got it\r\n"
    assert await stream.read() == b""


async def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(OSError):
            await connect("127.0.0.1", unused.getsockname()[1])


@pytest.mark.parametrize("tls", [False, True])
async def test_who_closes_gently_takes_no_last_word_from_the_peer(files: tuple[Path, Path, Path], tls: bool) -> None:
    """RFC 1122 4.2.2.13: a close with octets unread is a reset, and the peer's write would fail."""
    listener = socket.create_server(("127.0.0.1", 0))
    theirs = socket.create_connection(listener.getsockname())
    ours, _ = listener.accept()
    listener.close()
    if tls:
        server, client = await handshaken(files, ours, theirs)
    else:
        server, client = Stream(ours), Stream(theirs)

    async def peer() -> bytes:
        """Says a lot, hears the last words, and only then ends."""
        writing = asyncio.create_task(client.write(b"x" * (1 << 20)))
        heard = b""
        while data := await client.read():
            heard += data
        await writing
        client.close()
        return heard

    async def leave() -> None:
        await server.write(b"421 enough\r\n")
        await server.close_gently(10)

    heard, _ = await asyncio.gather(peer(), leave())
    assert heard == b"421 enough\r\n"


async def test_who_closes_gently_does_not_wait_for_ever() -> None:
    ours, theirs = socket.socketpair()
    stream = Stream(ours)
    async with asyncio.timeout(10):
        await stream.close_gently(0.1)
    assert ours.fileno() == -1
    theirs.close()
