"""STARTTLS on the MX: offered, never required, and nothing said in clear counts after it. RFC 3207; R77."""

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from localserve import certificates
from localserve.layout import Layout
from services.inbound.server import factory
from shared.clock import Clock
from shared.tls import client_context, server_context
from tests.services.inbound.conftest import Inbound, Peer


@pytest.fixture
async def secure(inbound: Inbound, tmp_path: Path) -> AsyncIterator[tuple[Inbound, ssl.SSLContext]]:
    """The same with a certificate, and a context that checks it."""
    layout = Layout(tmp_path)
    layout.prepare()
    ca_file, chain, key = certificates.prepare(layout, Clock())
    parts = replace(inbound.parts, tls=server_context(chain, key))
    server = await asyncio.get_running_loop().create_server(factory(parts), "127.0.0.1", 0)
    yield (
        Inbound(server.sockets[0].getsockname()[1], inbound.pool, inbound.bus, parts, inbound.peers),
        client_context(ca_file),
    )
    server.close()


def _send(port: int, context: ssl.SSLContext) -> bytes:
    with smtplib.SMTP("localhost", port, timeout=20) as smtp:
        smtp.ehlo("remote.example")
        assert smtp.has_extn("starttls")
        smtp.starttls(context=context)
        smtp.ehlo("remote.example")
        assert not smtp.has_extn("starttls")
        assert smtp.docmd("STARTTLS")[0] == 503
        smtp.sendmail("a@remote.example", ["u@demo.example"], b"Subject: x\r\n\r\n" + b"line\r\n" * 100_000)
        return smtp.noop()[1]


async def test_mail_under_tls(secure: tuple[Inbound, ssl.SSLContext]) -> None:
    inbound, context = secure
    assert await asyncio.to_thread(_send, inbound.port, context) == b"2.0.0 OK"
    [(_, _, content)] = await inbound.stored()
    assert b"with ESMTPS id" in content and content.endswith(b"line\r\n" * 100_000)


async def test_it_is_never_required(secure: tuple[Inbound, ssl.SSLContext]) -> None:
    """R77."""
    peer = await Peer.connect(secure[0])
    assert (await peer.send(b"x\r\n")).startswith(b"250 ")


async def test_t4_what_comes_behind_starttls_in_clear_is_never_run(secure: tuple[Inbound, ssl.SSLContext]) -> None:
    peer = await Peer.connect(secure[0])
    peer.writer.write(b"STARTTLS\r\nMAIL FROM:<evil@remote.example>\r\n")
    assert (await peer.reply()).startswith(b"421 4.7.0 ")
    assert await peer.reply() == b""


async def test_an_envelope_from_before_is_gone(secure: tuple[Inbound, ssl.SSLContext]) -> None:
    inbound, context = secure
    peer = await Peer.connect(inbound)
    await peer.say(b"MAIL FROM:<early@remote.example>")
    assert (await peer.say(b"STARTTLS")).startswith(b"220 ")
    await peer.writer.start_tls(context, server_hostname="localhost")
    assert (await peer.say(b"RCPT TO:<u@demo.example>")).startswith(b"503 ")
    assert (await peer.say(b"MAIL FROM:<a@remote.example>")).startswith(b"503 5.5.1 Send EHLO first")


async def test_what_is_no_handshake_is_cut(secure: tuple[Inbound, ssl.SSLContext]) -> None:
    peer = await Peer.connect(secure[0])
    assert (await peer.say(b"STARTTLS x")).startswith(b"501 ")
    assert (await peer.say(b"STARTTLS")).startswith(b"220 ")
    peer.writer.write(b"MAIL FROM:<evil@remote.example>\r\n")
    async with asyncio.timeout(20):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            while await peer.reader.readexactly(1):
                pass
    await secure[0].parts.connections.ended(10)
    assert not secure[0].parts.connections.all


async def test_without_a_certificate_it_is_not_there(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    assert (await peer.say(b"STARTTLS")).startswith(b"502 ")
