"""T1: some 600 forms of an end of data, in memory in every split, and live once before four kinds of lax server. R73."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest

from connector.deliver import Address
from connector.outcome import Exit
from connector.schedule import call_once
from connector.settings import Settings
from localserve.provider import Provider
from localserve.provision import make_customer
from tests.flows.live import running
from tests.security.smuggling import LAX, LaxServer, body, forms, read_in_every_split

pytestmark = pytest.mark.xdist_group("smuggling")
FORMS = forms()


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running() as provider:
        yield provider


def test_there_are_500_forms() -> None:
    assert len(FORMS) >= 500


def test_r73_no_form_is_an_end_however_it_is_split() -> None:
    assert sum(read_in_every_split(body(number, form)) for number, form in enumerate(FORMS)) > 50 * len(FORMS)


async def test_each_form_is_one_message_before_every_lax_server(provider: Provider) -> None:
    """R53, R73: what comes in as one message is one message, and no command of a smuggler's is ever heard."""
    logins = {kind: await make_customer(provider, f"lax{i}", [f"lax{i}.example"]) for i, kind in enumerate(LAX)}
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.ports.smtp)

    async def say(data: bytes, code: bytes = b"250 ") -> None:
        writer.write(data)
        async with asyncio.timeout(20):
            while (line := await reader.readline())[3:4] == b"-":
                pass
        assert line.startswith(code), (line, data[:80])

    assert (await reader.readline()).startswith(b"220 ")
    await say(b"EHLO remote.example\r\n")
    for number, form in enumerate(FORMS):
        await say(b"MAIL FROM:<a@remote.example>\r\n")
        for i in range(len(LAX)):
            await say(b"RCPT TO:<u@lax%d.example>\r\n" % i)
        await say(b"DATA\r\n", b"354 ")
        await say(body(number, form) + b".\r\n")
    await say(b"QUIT\r\n", b"221 ")
    writer.close()
    for kind, (user, secret) in logins.items():
        async with LaxServer(kind).serving() as server:
            settings = Settings(
                Address("localhost", provider.ports.odmr), Address("127.0.0.1", server.port), user, secret.encode(),
                ca_file=provider.ca_file,
            )  # fmt: skip
            assert (await call_once(settings)).exit is Exit.OK
        numbers = [int(found[1]) for one in server.messages if (found := re.search(rb"\r\nSubject: f(\d+)\r\n", one))]
        assert numbers == list(range(len(FORMS))) and len(server.messages) == len(FORMS), kind
        assert not [line for line in server.commands if b"evil.example" in line or b"victim" in line], kind
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
