"""A customer behind a balancer: its own address is in the session's record and in the throttle, and stays so under STARTTLS."""

import asyncio
from pathlib import Path

import pytest

from localserve import certificates
from localserve.layout import Layout, free_port
from shared.clock import Clock
from shared.protocol.proxy import header
from shared.tls import client_context
from tests.services.odmr.conftest import Customer, Factory
from tests.services.odmr.test_after_the_turn import take_one

CLIENT = "2001:db8::77"


@pytest.mark.parametrize("setting", ["odmr_proxy_listen", "odmr_tls_proxy_listen", "odmr_certificate_proxy_listen"])
async def test_the_session_is_the_customers_and_not_the_balancers(odmr: Factory, tmp_path: Path, setting: str) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    ca_file, chain, key = certificates.prepare(layout, Clock())
    port = free_port()
    settings = {setting: f"127.0.0.1:{port}", "proxy_networks": "127.0.0.1/32"}
    async with odmr(**settings, tls_certificate=chain, tls_key=key) as provider:
        login = await provider.mint()
        await provider.accept()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(header(CLIENT, "2001:db8::1"))
        customer = Customer(reader, writer)
        provider.customers.append(customer)
        if setting == "odmr_proxy_listen":
            assert (await customer.reply()).startswith("220 ")
            await customer.say("EHLO c.example")
            assert (await customer.say("STARTTLS")).startswith("220 ")
        await writer.start_tls(client_context(ca_file), server_hostname="localhost")
        if setting != "odmr_proxy_listen":
            assert (await customer.reply()).startswith("220 ")
        await provider.authenticate(customer, login)
        assert (await customer.say("ATRN")).startswith("250 ")
        customer.tell("220 c.example")
        assert await customer.line() == "EHLO mx.example"
        customer.tell("250 c.example")
        await take_one(customer)
        assert await provider.pool.fetchval("SELECT peer FROM sessions") == CLIENT


async def test_without_its_header_nobody_is_greeted(odmr: Factory) -> None:
    port = free_port()
    async with odmr(odmr_proxy_listen=f"127.0.0.1:{port}", proxy_networks="127.0.0.1/32"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"EHLO c.example\r\n" * 2)
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        writer.close()
