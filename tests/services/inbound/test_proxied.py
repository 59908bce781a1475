"""Behind a balancer: who the sender is comes in its header, from named networks alone, and stays so under STARTTLS."""

import asyncio
import smtplib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from localserve import certificates
from localserve.layout import Layout
from services.inbound.proxied import ProxiedPort
from services.inbound.server import InboundConnection
from shared.clock import Clock
from shared.listening import bind
from shared.protocol.proxy import SIGNATURE, header
from shared.proxied import networks_of
from shared.tls import client_context, server_context
from tests.services.inbound.conftest import Inbound

CLIENT = "192.0.2.77"
Start = tuple[int, ssl.SSLContext]


@pytest.fixture(params=["127.0.0.0/8"])
async def port(inbound: Inbound, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Start]:
    layout = Layout(tmp_path)
    layout.prepare()
    ca_file, chain, key = certificates.prepare(layout, Clock())
    parts = replace(inbound.parts, tls=server_context(chain, key))
    sock = bind("127.0.0.1:0")
    number = sock.getsockname()[1]
    proxied = ProxiedPort(sock, networks_of(request.param), lambda client: InboundConnection(parts, client))
    running = asyncio.create_task(proxied.run())
    yield number, client_context(ca_file)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Behind(smtplib.SMTP):
    """A sender as the balancer passes it on."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", port), timeout)
        sock.sendall(header(CLIENT, "127.0.0.1"))
        return sock


def _send(start: Start, *, tls: bool) -> None:
    with Behind("localhost", start[0], timeout=20) as smtp:
        if tls:
            smtp.starttls(context=start[1])
        smtp.sendmail("a@remote.example", ["u@demo.example"], b"Subject: x\r\n\r\nx\r\n")


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "starttls"])
async def test_received_names_the_sender_and_not_the_balancer(port: Start, inbound: Inbound, tls: bool) -> None:
    await asyncio.to_thread(_send, port, tls=tls)
    [(_, _, content)] = await inbound.stored()
    assert f"([{CLIENT}])".encode() in content and b"127.0.0.1" not in content.partition(b"\r\n\r\n")[0]
    assert await inbound.pool.fetchval("SELECT peer FROM messages") == CLIENT


async def test_connections_are_bounded_by_the_senders_address(port: Start, inbound: Inbound) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port[0])
    writer.write(header(CLIENT, "127.0.0.1"))
    assert (await reader.readline()).startswith(b"220 ")
    assert inbound.parts.connections.by_address[CLIENT] == 1
    writer.close()


async def test_a_health_check_of_the_balancer_is_greeted(port: Start) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port[0])
    writer.write(SIGNATURE + b"\x20\x00\x00\x00")
    assert (await reader.readline()).startswith(b"220 ")
    writer.close()


async def _hears(number: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(data)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("data", [b"EHLO x.example\r\n" * 2, b"PROXY TCP4 192.0.2.7 192.0.2.8 5000 25\r\nEHLO x\r\n"])
async def test_without_its_header_nobody_is_greeted(port: Start, data: bytes) -> None:
    assert await _hears(port[0], data) == b""


@pytest.mark.parametrize("port", ["10.0.0.0/8 fd00::/8"], indirect=True)
async def test_who_is_no_balancer_of_ours_is_not_believed(port: Start) -> None:
    assert await _hears(port[0], header(CLIENT, "127.0.0.1")) == b""
