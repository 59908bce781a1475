"""The relay on real sockets: a ledger that cannot be written, and a line that breaks before the local server's last word."""

import asyncio
import os
import socket
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from connector.deliver import Address
from connector.dial import Line
from connector.handoff import LocalServer, probe
from connector.ledger import Ledger
from connector.outcome import Exit
from connector.relaying import relay
from localserve.sink import Sink
from shared.tls import Stream, connect
from tests.connector.test_exits import scripted
from tests.waiting import until

SAID = [b"", b"MAIL FROM:<> XODMRID=1\r\n", b"RCPT TO:<u@c.example>\r\n", b"BDAT 3 LAST\r\nx\r\n", b"QUIT\r\n"]


async def test_a_full_disk_makes_no_mail_come_for_ever(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(tmp_path / "x")
    os.close(ledger._file)
    ledger._file = os.open("/dev/full", os.O_RDWR)  # ENOSPC to each write
    ledger._is_current = lambda: True  # type: ignore[method-assign]
    heard: list[bytes] = []
    async with Sink() as sink, scripted([*SAID, b""], heard) as port:
        local = await probe(Address("127.0.0.1", sink.port))
        assert isinstance(local, LocalServer)
        outcome = await relay(Line(await connect("127.0.0.1", port), b""), local, ledger, lambda _domain: True)
        assert len(sink.messages) == 1
    ledger.close()
    assert outcome.exit is Exit.OK and heard[-2].startswith(b"250") and "cannot be written" in capsys.readouterr().err


class _SlowLedger(Ledger):
    """Its disk waits until it may write."""

    may_write = threading.Event()

    def add(self, taken: Sequence[tuple[str, Sequence[str]]]) -> None:
        self.may_write.wait(20)
        super().add(taken)


async def test_r107_the_last_word_is_remembered_when_an_earlier_250_finds_the_line_broken(tmp_path: Path) -> None:
    """What the local server has to its dot it may take: a repeat of that would come twice."""
    ledger = _SlowLedger(tmp_path / "x")
    has_both, is_reset = asyncio.Event(), asyncio.Event()

    async def provide(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in (b"1", b"2"):
            writer.write(b"MAIL FROM:<> XODMRID=%s\r\nRCPT TO:<u@c.example>\r\nBDAT 3 LAST\r\nx\r\n" % number)
        await has_both.wait()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
        await writer.wait_closed()
        is_reset.set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 local\r\n")
        for number in (1, 2):
            for reply in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
                await reader.readline()
                writer.write(reply)
            await reader.readuntil(b"\r\n.\r\n")
            if number == 2:
                has_both.set()
                await is_reset.wait()
                ledger.may_write.set()
                await until(lambda: _known(ledger, "1"), 10)
            writer.write(b"250 kept\r\n")
        writer.close()

    async with await asyncio.start_server(provide, "127.0.0.1", 0) as provider:
        async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
            local = await probe(Address("127.0.0.1", server.sockets[0].getsockname()[1]))
            assert isinstance(local, LocalServer)
            stream = await connect("127.0.0.1", provider.sockets[0].getsockname()[1])
            outcome = await relay(Line(stream, b""), local, ledger, lambda _domain: True)
    assert outcome.exit is Exit.CUT and ledger.has("1", "u@c.example") and ledger.has("2", "u@c.example")
    ledger.close()


async def test_a_line_that_a_write_finds_broken_is_over_at_once(tmp_path: Path) -> None:
    """Between two messages the local server has no last word to wait for; the next call would come a minute late."""
    ours, theirs = socket.socketpair()
    theirs.close()
    ledger = Ledger(tmp_path / "x")
    async with Sink() as sink:
        local = await probe(Address("127.0.0.1", sink.port))
        assert isinstance(local, LocalServer)
        async with asyncio.timeout(10):
            outcome = await relay(Line(Stream(ours), b""), local, ledger, lambda _domain: True)
    ledger.close()
    assert outcome.exit is Exit.CUT and "the line broke" in outcome.text


async def _known(ledger: Ledger, message_id: str) -> bool:
    return ledger.has(message_id, "u@c.example")
