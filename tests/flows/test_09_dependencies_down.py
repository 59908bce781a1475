"""NATS, auth or PostgreSQL away: what a sender and a customer hear meanwhile, and that all is well after."""

import asyncio
import contextlib
import os
import signal
import smtplib
from collections.abc import AsyncIterator

import pytest

from connector.outcome import Exit
from localserve.provider import Provider
from localserve.sink import Sink
from tests.flows.customer import call
from tests.flows.live import SocketLine, running, settled
from tests.flows.sender import DOMAIN, Ledger, name_of, send_all
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("down"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running(ODMR_LEASE_SECONDS="2") as provider:
        yield provider


def _freeze(provider: Provider, name: str, number: signal.Signals) -> None:
    pid = provider.child(name).pid
    assert pid is not None
    os.kill(pid, number)


@pytest.mark.parametrize("who", ["auth", "nats"])
async def test_r12_no_auth_is_454_and_mail_still_comes_in(provider: Provider, who: str) -> None:
    """K9, A1f: within 3 s, and never 535."""
    _freeze(provider, who, signal.SIGSTOP)
    try:
        line = SocketLine(*await asyncio.open_connection("127.0.0.1", provider.ports.odmr))
        await line.send(b"EHLO c\r\nAUTH CRAM-MD5\r\n")
        began = asyncio.get_running_loop().time()
        while (reply := await line.read_line()) and not reply.startswith((b"334", b"454", b"535")):
            pass
        assert reply is not None and reply.startswith(b"454 4.7.0 ")
        assert asyncio.get_running_loop().time() - began < 4
        await line.close()
        await send_all(provider.ports.smtp, [f"without-{who}"], Ledger(), 20)
    finally:
        _freeze(provider, who, signal.SIGCONT)
    await provider.auth_answers()
    sink = Sink()
    await sink.start()

    async def comes() -> bool:
        return (await call(provider, sink)).exit == Exit.OK

    await until(comes, 30)
    assert [name_of(message.content) for message in sink.messages] == [f"without-{who}"]
    await sink.stop()
    await settled(provider)


def _rcpt(port: int) -> int:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as smtp:
        smtp.ehlo()
        smtp.mail("a@remote.example")
        return smtp.rcpt(f"u@{DOMAIN}")[0]


async def test_p3_a_frozen_database_is_451_and_nothing_has_to_be_restarted(provider: Provider) -> None:
    starts = {name: provider.child(name).starts for name in ("inbound", "odmr", "auth", "outbound", "api")}
    pid = provider.child("postgres").pid
    assert pid is not None
    _signal_family(pid, signal.SIGSTOP)
    try:
        assert await asyncio.to_thread(_rcpt, provider.ports.smtp) == 451
        line = SocketLine(*await asyncio.open_connection("127.0.0.1", provider.ports.odmr))
        await line.send(b"EHLO c\r\nNOOP\r\nQUIT\r\n")
        while (reply := await line.read_line()) and not reply.startswith(b"221"):
            pass
        assert reply
        await line.close()
    finally:
        _signal_family(pid, signal.SIGCONT)
    await send_all(provider.ports.smtp, ["after the frost"], Ledger(), 60)
    sink = Sink()
    await sink.start()
    assert (await call(provider, sink)).exit == Exit.OK
    assert [name_of(message.content) for message in sink.messages] == ["after the frost"]
    assert starts == {name: provider.child(name).starts for name in starts}
    await sink.stop()


def _signal_family(pid: int, number: signal.Signals) -> None:
    """To a process and its children; a worker of PostgreSQL's may end meanwhile."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        family = [pid, *(int(child) for child in file.read().split())]
    for process in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
