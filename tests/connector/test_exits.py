"""Every way a call can end has its own exit code. The provider and the local server are scripts on loopback. R90 to R99."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from connector.deliver import Address
from connector.dial import reply_time
from connector.outcome import Exit, Outcome
from connector.schedule import call_once
from connector.settings import Settings
from localserve.layout import free_port
from localserve.sink import Sink
from shared.protocol.customer import Step

GREETING = [b"220 mx.provider.example ESMTP\r\n"]
HELLO = b"250-mx\r\n250-AUTH CRAM-MD5\r\n250 ATRN\r\n"
CHALLENGE = b"334 " + base64.b64encode(b"<1@mx>") + b"\r\n"
LOGIN = [*GREETING, HELLO, CHALLENGE, b"235 ok\r\n"]


async def hear(reader: asyncio.StreamReader, heard: list[bytes] | None = None) -> bytes:
    """A command, or a whole reply, of which it gives the last line."""
    while True:
        line = await reader.readline()
        if line and heard is not None:
            heard.append(line)
        if line[3:4] != b"-":
            return line


@asynccontextmanager
async def scripted(replies: list[bytes], heard: list[bytes] | None = None, after: bytes = b"") -> AsyncIterator[int]:
    """A provider that says one reply a line it hears, the first at once; then `after`, and closes. Gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for i, reply in enumerate(replies):
            if i and not await hear(reader, heard):
                break
            writer.write(reply)
        writer.write(after)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def settings(
    port: int, deliver: int, *, tls: str = "none", ca_file: Path | None = None, mode: str = "relay"
) -> Settings:
    """For the demo customer."""
    return Settings(
        Address("127.0.0.1", port),
        Address("127.0.0.1", deliver),
        "tim",
        b"secret",
        tls=tls,
        ca_file=ca_file,
        hostname="c.example",
        mode=mode,
    )


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    made = Sink()
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize(
    ("replies", "exit"),
    [
        ([*LOGIN, b"453 4.2.0 no mail\r\n"], Exit.OK),
        ([*LOGIN, b"450 4.7.1 refused\r\n"], Exit.NOT_YOURS),
        ([*LOGIN, b"451 4.3.0 later\r\n"], Exit.PROVIDER_BUSY),
        ([*GREETING, HELLO, b"454 4.7.0 later\r\n"], Exit.AUTH_BUSY),
        ([*GREETING, HELLO, CHALLENGE, b"535 5.7.8 no\r\n"], Exit.AUTH_WRONG),
        ([*LOGIN, b"530 5.7.0 auth\r\n"], Exit.AUTH_NEEDED),
        ([b"421 4.3.2 closing\r\n"], Exit.GONE),
        ([*GREETING, b"502 what\r\n"], Exit.NOT_ODMR),
        ([*GREETING, b"250-mx\r\n250 AUTH CRAM-MD5\r\n"], Exit.NOT_ODMR),
        ([*GREETING, b"250-mx\r\n250-AUTH LOGIN\r\n250 ATRN\r\n"], Exit.NOT_ODMR),
        ([b"554 5.7.1 go away\r\n"], Exit.OTHER),
        ([b"HTTP/1.1 400 Bad Request\r\n"], Exit.NOT_ODMR),
        ([*LOGIN], Exit.GONE),
        ([], Exit.GONE),
    ],
)
async def test_each_refusal_has_its_exit(sink: Sink, replies: list[bytes], exit: Exit) -> None:
    """R90: no ATRN in EHLO is an exit of its own. R99: so is each of 450, 451, 453, 454, 530, 535, 502 and 421."""
    async with scripted(replies) as port:
        outcome = await call_once(settings(port, sink.port))
    assert outcome.exit is exit, outcome
    assert "secret" not in outcome.text and sink.messages == []


async def test_nobody_there(sink: Sink) -> None:
    assert (await call_once(settings(free_port(), sink.port))).exit is Exit.GONE


async def test_r96_a_local_server_that_is_down_means_no_call() -> None:
    heard: list[bytes] = []
    async with scripted(LOGIN, heard) as port:
        assert (await call_once(settings(port, free_port()))).exit is Exit.LOCAL_DOWN
    assert heard == []


@pytest.mark.parametrize("greeting", [b"554 no service\r\n", b"421 busy\r\n", b"nonsense\r\n", b""])
async def test_r97_a_local_server_that_does_not_greet(greeting: bytes) -> None:
    heard: list[bytes] = []
    async with scripted(LOGIN, heard) as port, scripted([greeting]) as local:
        assert (await call_once(settings(port, local))).exit is Exit.LOCAL_DOWN
    assert heard == []


async def test_r92_tls_is_asked_for_and_a_provider_without_it_hears_no_secret(sink: Sink) -> None:
    heard: list[bytes] = []
    async with scripted(LOGIN, heard) as port:
        outcome = await call_once(settings(port, sink.port, tls="starttls"))
    assert outcome.exit is Exit.NOT_ODMR and "STARTTLS" in outcome.text
    assert [line[:4] for line in heard] == [b"EHLO"]


async def test_a_provider_that_is_no_tls_server(sink: Sink) -> None:
    async with scripted(
        [*GREETING, b"250-mx\r\n250 STARTTLS\r\n", b"220 go\r\n"], after=b"this is no handshake\r\n"
    ) as port:
        assert (await call_once(settings(port, sink.port, tls="starttls"))).exit in (Exit.TLS_FAILED, Exit.NOT_ODMR)
    async with scripted(GREETING) as port:
        assert (await call_once(settings(port, sink.port, tls="implicit"))).exit in (Exit.TLS_FAILED, Exit.GONE)


async def test_r95_the_first_octets_after_250_are_the_local_servers_greeting() -> None:
    heard: list[bytes] = []
    async with (
        scripted([b"220-local\r\n220 ready\r\n"]) as local,
        scripted([*LOGIN, b"250 turning\r\n", b"", b""], heard) as port,
    ):
        await call_once(settings(port, local))
    assert heard[-2:] == [b"220-local\r\n", b"220 ready\r\n"]


async def test_r98_octets_pass_unchanged_both_ways() -> None:
    """Half a megabyte of every octet each way, at once."""
    noise = bytes(range(256)) * 2_048
    got: dict[str, bytes] = {}
    done = asyncio.Event()

    async def local(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 local\r\n")
        writer.write(noise + b"\r\n221 bye\r\n")
        got["local"] = await reader.readexactly(len(noise) + 6)
        writer.close()

    async def provider(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for i, reply in enumerate([*LOGIN, b"250 turning\r\nEHLO 1"]):
            if i:
                await reader.readline()
            writer.write(reply)
        writer.write(noise)
        got["provider"] = await reader.readexactly(11 + len(noise) + 11)
        done.set()
        writer.close()

    servers = [await asyncio.start_server(serve, "127.0.0.1", 0) for serve in (local, provider)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    outcome = await call_once(settings(ports[1], ports[0], mode="pipe"))
    await done.wait()
    assert got["local"] == b"EHLO 1" + noise
    assert got["provider"] == b"220 local\r\n" + noise + b"\r\n221 bye\r\n"
    assert outcome.exit is Exit.OK
    for server in servers:
        server.close()


@pytest.mark.parametrize("who", ["provider", "local"])
async def test_r103_a_cut_invents_no_dot(who: str) -> None:
    """A drop in the middle of content: the other side sees an end, and the exit says so."""
    heard: list[bytes] = []
    ended = asyncio.Event()

    async def local(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 local\r\n")
        if who == "local":
            await reader.readline()
        else:
            heard.append(await reader.read())
        ended.set()
        writer.close()

    server = await asyncio.start_server(local, "127.0.0.1", 0)
    turned = b"250 turning\r\nEHLO mx\r\nMAIL FROM:<>\r\nDATA\r\nhalf a line"
    async with scripted([*LOGIN, turned] + ([b""] * 20 if who == "local" else [])) as port:
        outcome = await call_once(settings(port, server.sockets[0].getsockname()[1], mode="pipe"))
    await ended.wait()
    assert outcome.exit is Exit.CUT
    if who == "provider":
        assert heard == [b"EHLO mx\r\nMAIL FROM:<>\r\nDATA\r\nhalf a line"]
    server.close()


def test_r93_the_reply_to_atrn_may_take_ten_minutes() -> None:
    """RFC 2645 5.2.1: the provider may have a queue to look through."""
    assert reply_time(Step.ATRN) >= 600
    assert all(reply_time(step) >= 300 for step in Step)


@pytest.mark.parametrize("enough", [1, 2])
async def test_a_server_that_has_enough_for_one_connection_is_called_again_while_mail_waits(enough: int) -> None:
    """DESIGN, decided 6: Exim ends after 1,000 messages with 421. A server that takes nothing is not called for ever."""
    calls = 0

    async def provider(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        say = [*LOGIN, b"250 turning\r\n" if calls <= enough else b"453 no mail\r\n"]
        for i, reply in enumerate(say):
            if i:
                await hear(reader)
            writer.write(reply)
        if calls <= enough:
            await hear(reader)
            for command in (
                b"EHLO mx",
                b"MAIL FROM:<>",
                b"RCPT TO:<u@c.example>",
                b"DATA",
                b"hello\r\n.",
                b"MAIL FROM:<>",
                b"RCPT TO:<u@c.example>",
            ):
                writer.write(command + b"\r\n")
                await hear(reader)
        writer.close()

    server = await asyncio.start_server(provider, "127.0.0.1", 0)
    async with Sink(most=1, keywords=()) as sink:
        outcome = await call_once(settings(server.sockets[0].getsockname()[1], sink.port))
        assert (outcome.exit, outcome.text, calls) == (Exit.OK, "no mail", enough + 1)
        assert len(sink.messages) == enough
    server.close()


async def test_a_server_that_takes_next_to_nothing_is_left_alone_after_a_few_calls() -> None:
    """However long its EHLO is, and whatever it says 250 to."""
    busy = [b"220 local\r\n", b"250-a\r\n250-b\r\n250-c\r\n250-d\r\n250 e\r\n", *[b"250 ok\r\n"] * 3, b"421 busy\r\n"]
    calls: list[bytes] = []
    commands = [b"EHLO mx\r\n", b"MAIL FROM:<>\r\nRCPT TO:<a>\r\nRCPT TO:<b>\r\nDATA\r\n"]
    async with scripted(busy) as local, scripted([*LOGIN, b"250 turning\r\n", *commands, b"", b"", b""], calls) as port:
        assert (await call_once(settings(port, local, mode="pipe"))).exit is Exit.CUT
    assert sum(line.startswith(b"EHLO") for line in calls) == 4


async def test_a_server_that_takes_nothing_is_not_called_again() -> None:
    async with (
        scripted([b"220 local\r\n", b"421 busy\r\n"]) as local,
        scripted([*LOGIN, b"250 turning\r\n", b"EHLO mx\r\n", b""]) as port,
    ):
        assert (await call_once(settings(port, local))).exit is Exit.CUT


def test_exit_codes_are_distinct() -> None:
    assert len({exit.value for exit in Exit}) == len(Exit)
    assert Outcome(Exit.OK, "x").exit == 0
