"""Events and webhooks: the log is the truth; endpoints hear of each event once, signed, and only where a stranger may be called."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

import httpx2
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.api.webhooks_sender import NotCalled, WebhooksSender, seal_secrets
from shared.domain.access import OPERATOR, Principal, Role
from shared.domain.address import is_global
from shared.domain.names import CustomerId, from_public_id
from shared.domain.webhook import RETRIES, BadUrl, check_url
from shared.storage.engine import Pool
from shared.storage.event_log import TYPES
from shared.storage.handling import Handling
from shared.storage.webhooks import Due
from tests.services.api.conftest import Api, make_customer
from tests.storage.seeding import seed
from tests.waiting import until

EVERYTHING = frozenset({"*"})


@dataclass
class Receiver:
    """An endpoint on loopback that answers as it is told, and keeps what it heard."""

    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answer: Callable[[int], bytes] = lambda _n: b"204 No Content"
    url: str = ""
    allowed: tuple[str, ...] = ()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])}
        self.heard.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(
            b"HTTP/1.1 " + self.answer(len(self.heard)) + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with await asyncio.start_server(receiver.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        receiver.url, receiver.allowed = f"http://127.0.0.1:{port}/hook?x=1", (f"127.0.0.1:{port}",)
        yield receiver


class Names:
    """A resolver with a table, which counts."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def addresses(self, host: str) -> list[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


class Calls(httpx2.AsyncBaseTransport):
    """A network on which every call is answered, and kept."""

    def __init__(self) -> None:
        self.heard: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.heard.append(request)
        return httpx2.Response(200)


async def _rounds(api: Api, receiver: Receiver, count: int = 1) -> list[int]:
    parts = replace(api.app.state.parts, webhook_allow=receiver.allowed)  # type: ignore[attr-defined]
    api.app.state.parts = parts  # type: ignore[attr-defined]
    sender = WebhooksSender(parts, Names([]), receiver.allowed)
    async with httpx2.AsyncClient(trust_env=False) as client:
        return [await sender.round(client) for _ in range(count)]


async def _endpoint(
    api: Api, receiver: Receiver, client: httpx2.AsyncClient | None = None, **body: object
) -> dict[str, str]:
    await _rounds(api, receiver)
    answer = await (client or api.operator).post("/v1/webhook_endpoints", json={"url": receiver.url, **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_an_event_is_told_once_and_the_signature_holds(api: Api) -> None:
    async with receiving() as receiver:
        made = await _endpoint(api, receiver, types=["customer.created"])
        await make_customer(api, "farm")
        await api.operator.patch("/v1/customers/ext:x-farm", json={"name": "x"})
        assert await _rounds(api, receiver, 3) == [1, 0, 0]
        [(headers, body)] = receiver.heard
        told = Webhook(made["secret"]).verify(body, headers)
        assert told["type"] == "customer.created" and told["data"]["external_id"] == "x-farm"
        with pytest.raises(WebhookVerificationError):
            Webhook(made["secret"]).verify(body + b" ", headers)
        [event] = (await api.operator.get("/v1/events", params={"type": "customer.created"})).json()["data"]
        assert headers["webhook-id"] == event["id"] and {**told, "id": event["id"]} == event
        path = f"/v1/webhook_endpoints/{made['id']}"
        [delivery] = (await api.operator.get(f"{path}/deliveries")).json()["data"]
        assert (delivery["id"], delivery["state"], delivery["last_status"]) == (event["id"], "delivered", 204)
        assert (await api.operator.post(f"{path}/redeliver", json={"event_id": event["id"]})).json() == {
            "deliveries": 1
        }
        assert await _rounds(api, receiver) == [1]
        assert receiver.heard[1][1] == body and receiver.heard[1][0]["webhook-id"] == event["id"]
        since = {"since": "2020-01-01T00:00:00Z"}
        assert (await api.operator.post(f"{path}/redeliver", json=since)).json() == {"deliveries": 1}
        for wrong in ({}, {"event_id": event["id"], **since}, {"event_id": "x"}):
            answer = await api.operator.post(f"{path}/redeliver", json=wrong)
            assert answer.json()["code"] == "invalid_value"


async def test_a_rotated_secret_signs_beside_the_old_one(api: Api, pool: Pool) -> None:
    async with receiving() as receiver:
        made = await _endpoint(api, receiver)
        assert made["secret"].encode() not in await pool.fetchval("SELECT sealed_secrets FROM webhook_endpoints")
        new = (await api.operator.post(f"/v1/webhook_endpoints/{made['id']}/rotate_secret")).json()["secret"]
        await make_customer(api, "farm")
        await _rounds(api, receiver)
        headers, body = receiver.heard[0]
        for secret in (made["secret"], new):
            Webhook(secret).verify(body, headers)
        newest = (await api.operator.post(f"/v1/webhook_endpoints/{made['id']}/rotate_secret")).json()["secret"]
        await make_customer(api, "shop")
        await _rounds(api, receiver)
        headers, body = receiver.heard[1]
        for secret in (new, newest):
            Webhook(secret).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(made["secret"]).verify(body, headers)


async def test_what_fails_is_tried_again_and_at_last_given_up(api: Api, pool: Pool) -> None:
    async with receiving() as receiver:
        receiver.answer = lambda _n: b"500 Oops"
        made = await _endpoint(api, receiver)
        await make_customer(api, "farm")
        for attempt, wait in enumerate(RETRIES):
            assert await _rounds(api, receiver, 2) == [1, 0]
            row = await pool.fetchrow("SELECT state, attempts, next_at - now() AS wait FROM webhook_deliveries")
            assert row is not None and (row["state"], row["attempts"]) == ("due", attempt + 1)
            assert wait - timedelta(seconds=5) < row["wait"] <= wait
            await pool.execute("UPDATE webhook_deliveries SET next_at = now()")
        assert await _rounds(api, receiver) == [1]
        [delivery] = (await api.operator.get(f"/v1/webhook_endpoints/{made['id']}/deliveries?state=failed")).json()[
            "data"
        ]
        assert (delivery["attempts"], delivery["last_status"]) == (10, 500)
        assert (
            len({(headers["webhook-id"], body) for headers, body in receiver.heard}) == 1 and len(receiver.heard) == 10
        )


async def test_an_endpoint_that_is_gone_is_disabled_and_hears_the_rest_when_it_is_back(api: Api) -> None:
    async with receiving() as receiver:
        receiver.answer = lambda _n: b"410 Gone"
        made = await _endpoint(api, receiver)
        await make_customer(api, "farm")
        await _rounds(api, receiver)
        path = f"/v1/webhook_endpoints/{made['id']}"
        shown = (await api.operator.get(path)).json()
        assert (shown["state"], shown["disabled_for"]) == ("disabled", "it answered 410 Gone")
        await make_customer(api, "shop")
        assert await _rounds(api, receiver) == [0]
        receiver.answer = lambda _n: b"200 OK"
        assert (await api.operator.patch(path, json={"state": "enabled"})).json()["disabled_for"] == ""
        assert await _rounds(api, receiver) == [1]
        assert (await api.operator.delete(path)).status_code == 204
        await make_customer(api, "third")
        assert await _rounds(api, receiver) == [0]


async def test_one_that_asks_to_wait_is_waited_for(api: Api, pool: Pool) -> None:
    async with receiving() as receiver:
        receiver.answer = lambda _n: b"429 Slow\r\nRetry-After: 3600"
        await _endpoint(api, receiver)
        await make_customer(api, "farm")
        await _rounds(api, receiver)
        wait = await pool.fetchval("SELECT next_at - now() FROM webhook_deliveries")
        assert timedelta(minutes=59) < wait <= timedelta(hours=1)


async def test_a_redirect_is_not_followed(api: Api, pool: Pool) -> None:
    async with receiving() as receiver, receiving() as inner:
        receiver.answer = lambda _n: f"302 Found\r\nLocation: {inner.url}".encode()
        await _endpoint(api, receiver)
        await make_customer(api, "farm")
        await _rounds(api, receiver)
        assert len(receiver.heard) == 1 and not inner.heard
        assert await pool.fetchval("SELECT last_status FROM webhook_deliveries") == 302


async def test_each_endpoint_hears_what_its_key_may_see(api: Api) -> None:
    mine, other = [await make_customer(api, name) for name in ("mine", "other")]
    own = await api.client(Principal(Role.CUSTOMER, CustomerId(from_public_id("cus", mine)), EVERYTHING))
    async with receiving() as receiver:
        await _endpoint(api, receiver, own)
        for customer_id in (other, mine):
            await api.operator.post(f"/v1/customers/{customer_id}/suspend", json={"reason": "x"})
        assert await _rounds(api, receiver, 2) == [1, 0]
        assert json.loads(receiver.heard[0][1])["data"]["customer_id"] == mine
        types = [
            (event["type"], event["data"]["customer_id"]) for event in (await own.get("/v1/events")).json()["data"]
        ]
        assert types == [("customer.created", mine), ("customer.suspended", mine)]


async def test_the_log_is_read_on_and_misses_none_that_commits_late(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    first = (await api.operator.get("/v1/events", params={"limit": 1})).json()
    cursor = first["next_cursor"]
    async with pool.acquire() as slow, pool.acquire() as quick:
        insert = "INSERT INTO events (type, customer_id) VALUES ($1, $2)"
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(insert, "message.held", customer.customer_id)
        await quick.execute(insert, "message.failed", customer.customer_id)
        page = (await api.operator.get("/v1/events", params={"cursor": cursor})).json()
        assert "message.failed" not in [event["type"] for event in page["data"]]
        cursor = page["next_cursor"]
        await transaction.commit()
    page = (await api.operator.get("/v1/events", params={"cursor": cursor})).json()
    assert [event["type"] for event in page["data"]][-2:] == ["message.held", "message.failed"] and not page["has_more"]
    again = (await api.operator.get("/v1/events", params={"cursor": page["next_cursor"]})).json()
    assert again["data"] == [] and again["next_cursor"] == page["next_cursor"]
    for wrong in ({"cursor": "x"}, {"cursor": "1-x"}, {"cursor": "²-" + "0" * 32}, {"type": "mail.lost"}):
        assert (await api.operator.get("/v1/events", params=wrong)).json()["code"] == "validation_failed"


async def test_a_stream_goes_on_from_where_it_was_and_ends_with_its_key(api: Api, pool: Pool) -> None:
    await make_customer(api, "old")
    cursor = (await api.operator.get("/v1/events")).json()["next_cursor"]
    await make_customer(api, "farm")
    reads = await api.client(OPERATOR)
    stream = asyncio.create_task(reads.get("/v1/events/stream", headers={"Last-Event-ID": cursor}))

    async def runs() -> bool:
        return bool(api.app.state.streams)  # type: ignore[attr-defined]

    await until(runs, 10)
    await pool.execute("UPDATE api_keys SET revoked_at = now()")  # the transport gives the answer when it is whole
    answer = await asyncio.wait_for(stream, 20)
    assert answer.headers["content-type"].startswith("text/event-stream") and not await runs()
    [told] = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert (told["type"], told["data"]["external_id"]) == ("customer.created", "x-farm")
    assert "event: customer.created\n" in answer.text and f"id: {cursor.partition('-')[0]}" not in answer.text
    assert (await reads.get("/v1/events/stream")).status_code == 401


def test_what_an_operator_does_is_an_event_that_is_known() -> None:
    assert {f"message.{handling.value}" for handling in Handling} <= set(TYPES)


INNER = ["127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "64:ff9b:1::a00:1", "2001:db8::1", "nonsense", "2130706433", "0x7f000001"]  # fmt: skip


@pytest.mark.parametrize("address", INNER)
def test_t14_no_address_of_an_inner_network_is_global(address: str) -> None:
    assert not is_global(address) and is_global("93.184.215.14") and is_global("2606:4700:4700::1111")


async def test_t14_no_address_of_an_inner_network_is_called(api: Api) -> None:
    for address in INNER:
        sender = WebhooksSender(api.app.state.parts, Names(["93.184.215.14", address]), ())  # type: ignore[attr-defined]
        with pytest.raises(NotCalled):
            await sender._address("https://hook.example.org/")


URLS = [
    "http://hook.example.org/", "file:///etc/passwd", "gopher://hook.example.org/", "https://user@hook.example.org/",
     "https://user:pw@hook.example.org/", "https://127.0.0.1/", "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/",
     "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://localhost/", "https://127.0.0.1./", "https://1.1.1.1/", "//hook.example.org/",
     "https://hook.example.org:99999/", "https://hook.example.org\\@127.0.0.1/", "https://hook.example.org/a b", "https://höök.example/",
     "https://[::1", "ftp://hook.example.org/", "https://", "x"
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_t14_a_url_of_an_inner_host_is_wrong(url: str) -> None:
    with pytest.raises(BadUrl):
        check_url(url, ())


async def test_t14_no_url_of_an_inner_host_is_taken(api: Api) -> None:
    for url in URLS:
        answer = await api.operator.post("/v1/webhook_endpoints", json={"url": url})
        assert answer.json()["code"] == "invalid_value", url


async def test_t14_a_name_that_is_bound_anew_is_resolved_once_an_attempt(api: Api) -> None:
    names = Names(["93.184.215.14"], ["127.0.0.1"])
    parts = api.app.state.parts  # type: ignore[attr-defined]
    sender = WebhooksSender(parts, names, ())
    sealed = seal_secrets(parts, _ID.bytes, [("whsec_AAAA", None)])
    due = Due(_ID, _ID, "https://hook.example.org:8443/x", sealed, "{}", 1)
    calls = Calls()
    async with httpx2.AsyncClient(transport=calls) as client:
        await sender._post(client, due)
    assert (
        names.asked == 1
        and calls.heard[0].url.host == "93.184.215.14"
        and calls.heard[0].headers["host"] == "hook.example.org:8443"
    )
    assert calls.heard[0].extensions["sni_hostname"] == "hook.example.org"
    with pytest.raises(NotCalled):
        await sender._address(due.url)


_ID = UUID(int=0)
