"""The bus on a real nats-server: asking, being away and coming back, and who may say what."""

import asyncio
import contextlib
from uuid import uuid4

import pytest

from localserve import nats
from localserve.children import Child
from localserve.layout import SERVICES, Layout, free_port, temporary_root
from shared.bus.connection import Bus, NoAnswer
from shared.bus.payloads import BadPayload, MintAnswer, Step, VerifyAnswer, VerifyRequest, decode, encode
from shared.bus.subjects import ALLOWED, AUTH_VERIFY, MAIL_QUEUED_ALL, customer_of, mail_queued
from shared.domain.names import CustomerId
from tests.waiting import until


async def started(url: str, service: str) -> Bus:
    bus = Bus(url, service)
    bus.start()
    await bus.connected()
    return bus


async def test_a_request_gets_its_answer(nats_urls: dict[str, str]) -> None:
    auth, odmr = await started(nats_urls["auth"], "auth"), await started(nats_urls["odmr"], "odmr")

    async def answer(_subject: str, data: bytes) -> bytes | None:
        return data[::-1]

    await auth.subscribe(AUTH_VERIFY, answer, queue="auth")
    assert await odmr.request(AUTH_VERIFY, b"abc", 5) == b"cba"
    await auth.close()
    await odmr.close()


async def test_nobody_answers_at_once(nats_urls: dict[str, str]) -> None:
    odmr = await started(nats_urls["odmr"], "odmr")
    with pytest.raises(NoAnswer):
        await odmr.request(AUTH_VERIFY, b"", 60)
    await odmr.close()


async def test_a_handler_that_fails_stops_nothing(nats_urls: dict[str, str]) -> None:
    """OpenSMTPD CVE-2025-62875: one bad message must not stop a service."""
    auth, odmr = await started(nats_urls["auth"], "auth"), await started(nats_urls["odmr"], "odmr")

    async def answer(_subject: str, data: bytes) -> bytes | None:
        decode(VerifyRequest, data)
        return b"fine"

    await auth.subscribe(AUTH_VERIFY, answer, queue="auth")
    for bad in (b"", b"{}", b"\xff" * 1_000, b"[" * 10_000):
        with pytest.raises(NoAnswer):
            await odmr.request(AUTH_VERIFY, bad, 0.2)
    good = encode(VerifyRequest("r", "s", "CRAM-MD5", None, (), "peer", True))
    assert await odmr.request(AUTH_VERIFY, good, 5) == b"fine"
    await auth.close()
    await odmr.close()


async def test_t16_a_service_hears_only_what_it_may(nats_urls: dict[str, str]) -> None:
    """No other service hears AUTH, and none may stand in for auth."""
    inbound, odmr, auth = [await started(nats_urls[name], name) for name in ("inbound", "odmr", "auth")]
    overheard: list[bytes] = []

    async def overhear(_subject: str, data: bytes) -> bytes | None:
        overheard.append(data)
        return b"forged"

    async def answer(_subject: str, _data: bytes) -> bytes | None:
        return b"true"

    for spy in (inbound, odmr):
        for subject in (AUTH_VERIFY, ">", "auth.>", "_INBOX_odmr.>" if spy is inbound else "auth.mint"):
            await spy.subscribe(subject, overhear)
    await auth.subscribe(AUTH_VERIFY, answer, queue="auth")
    assert await odmr.request(AUTH_VERIFY, b"secret", 5) == b"true"
    assert overheard == []
    for bus in (inbound, odmr, auth):
        await bus.close()


async def test_a_server_that_dies_is_found_again() -> None:
    """N1, N2: wake-ups and requests work after a kill -9, without a hand."""
    with temporary_root("odmr-nats-") as root:
        layout = Layout(root)
        layout.prepare()
        port, passwords = free_port(), dict.fromkeys(SERVICES, "x")
        child = Child(nats.program(layout, port, passwords), layout, print)
        await child.start()
        inbound = await started(nats.url("inbound", "x", port), "inbound")
        odmr = await started(nats.url("odmr", "x", port), "odmr")
        heard = asyncio.Event()

        async def hear(_subject: str, _data: bytes) -> bytes | None:
            heard.set()
            return None

        await odmr.subscribe(MAIL_QUEUED_ALL, hear)
        await child.stop()
        await until(lambda: _value(not inbound.is_connected), 20)
        await inbound.publish(mail_queued(CustomerId(uuid4())))  # lost, and nobody fails
        with pytest.raises(NoAnswer):
            await odmr.request(AUTH_VERIFY, b"", 0.2)
        again = Child(nats.program(layout, port, passwords), layout, print)
        await again.start()
        await until(lambda: _value(inbound.is_connected and odmr.is_connected), 30)
        heard.clear()

        async def wakes() -> bool:
            await inbound.publish(mail_queued(CustomerId(uuid4())))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await heard.wait()
            return heard.is_set()

        await until(wakes, 20)
        await inbound.close()
        await odmr.close()
        await again.stop()


async def _value(value: bool) -> bool:
    return value


def test_payloads_come_back() -> None:
    request = VerifyRequest("r", "s", "CRAM-MD5", None, (Step(b"\0c", b"\xffr"),), "peer", True)
    assert decode(VerifyRequest, encode(request)) == request
    answer = VerifyAnswer("r", "granted", customer_id="c", domains=("a.example",))
    assert decode(VerifyAnswer, encode(answer)) == answer
    with pytest.raises(BadPayload):
        decode(VerifyAnswer, b'{"request_id": 1}')
    assert "hunter2" not in repr(MintAnswer("r", secret="hunter2"))


def test_subjects() -> None:
    customer = CustomerId(uuid4())
    assert customer_of(mail_queued(customer)) == customer.hex
    assert set(ALLOWED) == set(SERVICES)
