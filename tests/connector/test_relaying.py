"""The relay beside a ledger that cannot be written: the local server has the mail, so the provider hears 250 all the same."""

import os
from pathlib import Path

import pytest

from connector.deliver import Address
from connector.dial import Line
from connector.handoff import LocalServer, probe
from connector.ledger import Ledger
from connector.outcome import Exit
from connector.relaying import relay
from localserve.sink import Sink
from shared.tls import connect
from tests.connector.test_exits import scripted

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
