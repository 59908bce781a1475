"""A billing system on a whole provider: a customer from the first payment to the last, and figures that hold when services die."""

import asyncio
import os
import signal
import smtplib
from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import httpx2
from standardwebhooks import Webhook

from connector.deliver import Address
from connector.outcome import Exit
from connector.schedule import call_once
from connector.settings import Settings
from localserve.children import Child
from localserve.layout import SERVICES
from localserve.provider import Provider
from localserve.provision import client
from localserve.sink import Received, Sink
from shared.protocol.reply import S250_OK, Reply
from tests.chaos.customers import Customer, start_customer
from tests.waiting import until

#: Of the customer whose mail flows while services die.
DOMAIN = "billed.example"
FARM = "/v1/customers/ext:whmcs-42"


class Biller:
    """Calls as a billing module does: each POST twice under one key, and once more under it with another body."""

    def __init__(self, api: httpx2.AsyncClient) -> None:
        self.api = api
        self.calls = 0

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer; fails when the second is another, or the third is not refused."""
        headers = {"Idempotency-Key": str(uuid4())}
        first, again = [await self.api.post(path, json=body, headers=headers) for _ in range(2)]
        assert first.is_success and first.json() == again.json() and again.headers["idempotent-replayed"] == "true", (
            first.text
        )
        other = await self.api.post(path, json={**body, "reason": "another"}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused"), other.text
        self.calls += 3
        return dict(first.json())

    async def twice(self, verb: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """PUT or PATCH, which need no key: the second changes nothing."""
        first, again = [await self.api.request(verb, path, json=body) for _ in range(2)]
        assert first.is_success and first.json() == again.json(), first.text
        self.calls += 2
        return dict(first.json())


async def flow(provider: Provider) -> int:
    """Create, plan change, suspend, resume, usage, terminate, by external_id; gives how many calls were made."""
    async with client(provider) as api, Sink() as sink:
        biller = Biller(api)
        await biller.post("/v1/plans", {"name": "small", "max_domains": 1})
        await biller.post("/v1/plans", {"name": "large", "max_domains": 5})
        customer = await biller.twice("PUT", FARM, {"name": "Farm", "plan_id": "small", "metadata": {"order": "17"}})
        await biller.post("/v1/domains", {"customer_id": "ext:whmcs-42", "name": "farm.example"})
        over = await api.post("/v1/domains", json={"customer_id": "ext:whmcs-42", "name": "farm.test"})
        assert over.json()["code"] == "limit_reached"
        login = await biller.post("/v1/credentials", {"customer_id": "ext:whmcs-42"})
        call = _caller(provider, sink, login)
        await _send(provider, "first", "farm.example")
        assert await call() is Exit.OK and len(sink.messages) == 1
        changed = await biller.twice("PATCH", FARM, {"plan_id": "large"})
        assert changed["id"] == customer["id"] and changed["plan_id"] != customer["plan_id"]
        await biller.post("/v1/domains", {"customer_id": "ext:whmcs-42", "name": "farm.test"})
        suspended = await biller.post(f"{FARM}/suspend", {"reason": "not paid"})
        assert suspended["state"] == "suspended"
        await _send(provider, "kept", "farm.example")  # mail is kept,
        assert await call() is Exit.NOT_YOURS and len(sink.messages) == 1  # and ATRN gets 450
        assert (await api.get(f"{FARM}/status")).json()["holdings"]["messages"] == 1
        await biller.post(f"{FARM}/resume", {})
        assert await call() is Exit.OK and len(sink.messages) == 2
        month = suspended["created_at"][:7]
        await until(lambda: _is_used(api, month, 2), 20)
        await _send(provider, "left", "farm.test")
        ended = await biller.post(f"{FARM}/terminate", {"purge_after_days": 0})
        assert ended["holdings"]["messages"] == 1 and ended["customer"]["state"] == "terminated"
        assert await call() is Exit.AUTH_WRONG
        await until(lambda: _is_purged(api), 20)
        return biller.calls


def _caller(provider: Provider, sink: Sink, login: dict[str, Any]) -> Callable[[], Awaitable[Exit]]:
    settings = Settings(
        Address("localhost", provider.ports.odmr), Address("127.0.0.1", sink.port), login["authcid"], login["secret"].encode(),
        ca_file=provider.ca_file,
    )  # fmt: skip

    async def call() -> Exit:
        return (await call_once(settings)).exit

    return call


async def _send(provider: Provider, name: str, domain: str) -> None:
    def send() -> None:
        with smtplib.SMTP("127.0.0.1", provider.ports.smtp, timeout=15) as smtp:
            smtp.sendmail("a@remote.example", [f"u@{domain}"], f"Subject: {name}\r\n\r\n{name}\r\n")

    await asyncio.to_thread(send)


async def _is_used(api: httpx2.AsyncClient, month: str, count: int) -> bool:
    rows = (await api.get("/v1/usage/summary", params={"period": month})).json()["data"]
    meters = next(row["meters"] for row in rows if row["external_id"] == "whmcs-42")
    return bool(meters.get("messages_delivered") == meters.get("messages_received") == count)


async def _is_purged(api: httpx2.AsyncClient) -> bool:
    return (await api.get("/v1/domains/farm.test")).status_code == 404


@dataclass(slots=True)
class Heard:
    """What a webhook endpoint heard: an id's bodies, all of which its secret signed."""

    secret: str = ""
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    calls: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = (line.partition(": ") for line in head.split("\r\n")[1:])
            headers = {name.lower(): value for name, _, value in lines}
            body = await reader.readexactly(int(headers["content-length"]))
            Webhook(self.secret).verify(body, headers)
            self.bodies.setdefault(headers["webhook-id"], set()).add(body)
            self.calls += 1
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # its sender was killed
        finally:
            writer.close()


async def killed(provider: Provider, port: int, messages: int) -> str:
    """Kills each service in the middle of `messages` deliveries. Fails when usage is not what the sink got, when an event was
    not told, or one was told twice with another body. `port` is where webhooks may call."""
    got: list[str] = []

    def answer(message: Received) -> Reply:
        got.append(message.content.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode())
        sink.messages.clear()
        return S250_OK

    sink, heard = Sink(answer), Heard()
    customer = Customer("billed", DOMAIN, ("--live", "--every", "1"), has_ledger=True)
    async with client(provider) as api, sink, await asyncio.start_server(heard.serve, "127.0.0.1", port):
        _, cursor = await _read_log(api, None)
        hook = await api.post("/v1/webhook_endpoints", json={"url": f"http://127.0.0.1:{port}/hook"})
        assert hook.status_code == 201, hook.text
        heard.secret = hook.json()["secret"]
        await start_customer(provider, customer, sink.port)
        sending = asyncio.create_task(_send_all(provider, [f"m{i}" for i in range(messages)]))
        try:
            for i, service in enumerate(SERVICES):
                await until(partial(_has, got, messages * (i + 1) // (len(SERVICES) + 1)), 120)
                child = provider.child(service)
                pid, starts = child.pid, child.starts
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                await until(partial(_is_back, child, starts), 30)
                await provider.answers()
            await sending
            await until(partial(_is_quiet, api), 120)
        finally:
            sending.cancel()
            for connector in customer.children:
                await connector.stop()
        await until(partial(_all_told, api, cursor, heard), 120)
        usage = (await api.get("/v1/usage", params={"granularity": "month", "limit": 100})).json()["data"]
    counted = {row["meter"]: row["amount"] for row in usage if row["domain"] == DOMAIN}
    assert counted["messages_delivered"] == counted["messages_received"] == len(got) >= messages, (counted, len(got))
    assert set(got) == {f"m{i}" for i in range(messages)}
    twice = [one for one, bodies in heard.bodies.items() if len(bodies) > 1]
    assert not twice, twice
    return (
        f"{messages} messages, {len(SERVICES)} services killed: usage says {counted['messages_delivered']}, the sink got "
        f"{len(got)}; {len(heard.bodies)} events told in {heard.calls} calls, none missing, none with another body"
    )


async def _send_all(provider: Provider, names: list[str]) -> None:
    """Each until it is acknowledged. One whose 250 was lost is stored twice, and counted twice."""
    for name in names:
        while True:
            try:
                await _send(provider, name, DOMAIN)
                break
            except (OSError, smtplib.SMTPException):
                await asyncio.sleep(0.1)


async def _has(got: Sized, count: int) -> bool:
    return len(got) >= count


async def _is_back(child: Child, starts: int) -> bool:
    return child.starts > starts


async def _read_log(api: httpx2.AsyncClient, cursor: str | None) -> tuple[set[str], str | None]:
    """The ids of events behind a cursor, and the next one."""
    known: set[str] = set()
    while True:
        answer = await api.get("/v1/events", params={"limit": "100", **({"cursor": cursor} if cursor else {})})
        answer.raise_for_status()
        page = answer.json()
        known |= {event["id"] for event in page["data"]}
        cursor = page["next_cursor"]
        if not page["has_more"]:
            return known, cursor


async def _is_quiet(api: httpx2.AsyncClient) -> bool:
    waits = (await api.get(f"/v1/domains/{DOMAIN}/queue")).json()["messages"]
    return not (waits.get("queued") or waits.get("leased"))


async def _all_told(api: httpx2.AsyncClient, cursor: str | None, heard: Heard) -> bool:
    known, _ = await _read_log(api, cursor)
    return known == set(heard.bodies)
