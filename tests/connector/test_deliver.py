"""A UNIX socket and a command in place of host:port: greeted before the call, joined after the turn, ended with it."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from connector.deliver import Command, UnixSocket
from connector.outcome import Exit
from connector.schedule import call_once
from localserve.sink import Sink
from tests.connector.test_exits import LOGIN, scripted, settings

#: What a provider says behind its 250, and in the end.
SESSION = [*LOGIN, b"250 turning\r\n", b"EHLO mx\r\n", b"QUIT\r\n"]
#: An SMTP server on its stdin: greets, answers each line, and writes down what it heard and that it saw an end.
SERVER = """
import sys
out = open(sys.argv[1], "w")
def say(text):
    sys.stdout.write(text + "\\r\\n")
    sys.stdout.flush()
say("220 here")
for line in sys.stdin:
    out.write(line.strip() + "\\n")
    out.flush()
    say("221 bye" if line.startswith("QUIT") else "250 ok")
out.write("end\\n")
"""


async def test_a_command_on_its_stdin(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    server = Command((sys.executable, "-c", SERVER, str(heard)))
    async with scripted(SESSION) as port:
        outcome = await call_once(replace(settings(port, 1), deliver=server))
    assert outcome.exit is Exit.OK, outcome
    assert heard.read_text().splitlines() == ["EHLO mx", "QUIT", "end"]


async def test_r103_a_command_sees_an_end_when_the_line_breaks(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    server = Command((sys.executable, "-c", SERVER, str(heard)))
    async with scripted([*LOGIN, b"250 turning\r\nEHLO mx\r\n"]) as port:
        outcome = await call_once(replace(settings(port, 1), deliver=server))
    assert outcome.exit is Exit.CUT
    assert heard.read_text().splitlines() == ["EHLO mx", "end"]


@pytest.mark.parametrize(
    "argv", [("/nowhere/sendmail", "-bs"), (sys.executable, "-c", "pass"), (sys.executable, "-c", "print('no')")]
)
async def test_r96_a_command_that_does_not_greet_means_no_call(argv: tuple[str, ...]) -> None:
    heard: list[bytes] = []
    async with scripted(LOGIN, heard) as port:
        outcome = await call_once(replace(settings(port, 1), deliver=Command(argv)))
    assert outcome.exit is Exit.LOCAL_DOWN and argv[0] in outcome.text and heard == []


async def test_a_unix_socket(tmp_path: Path) -> None:
    path, sink = tmp_path / "mail.sock", Sink()
    server = await asyncio.start_unix_server(sink.serve, path)
    async with scripted(SESSION) as port:
        outcome = await call_once(replace(settings(port, 1), deliver=UnixSocket(str(path))))
    assert outcome.exit is Exit.OK, outcome
    server.close()
    async with scripted(SESSION) as port:
        outcome = await call_once(replace(settings(port, 1), deliver=UnixSocket("/nowhere.sock")))
    assert outcome.exit is Exit.LOCAL_DOWN


async def test_a_check_logs_in_and_takes_no_mail(tmp_path: Path) -> None:
    heard: list[bytes] = []
    hello = b"250-mx\r\n250-AUTH CRAM-MD5\r\n250-XODMR LIVE STAT ID\r\n250 ATRN\r\n"
    replies = [LOGIN[0], hello, *LOGIN[2:], b"250 2.0.0 messages=3 octets=9\r\n", b"221 bye\r\n"]
    async with Sink() as sink, scripted(replies, heard) as port:
        outcome = await call_once(replace(settings(port, sink.port), command="check"))
        assert outcome.exit is Exit.OK and "messages=3 octets=9" in outcome.text
        assert sink.messages == []
    assert heard[3:] == [b"XODMR STAT\r\n", b"QUIT\r\n"]
