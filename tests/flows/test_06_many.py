"""Many messages in one session, and many sessions at once, on real processes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from connector.outcome import Exit
from localserve.provider import Provider
from localserve.provision import client, make_customer
from localserve.sink import Sink
from tests.flows.customer import call
from tests.flows.filling import fill
from tests.flows.live import SocketLine, database, running, settled
from tests.flows.sender import name_of
from tests.protocol.dialogue import Dialogue, Turn, speak
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("many"), pytest.mark.timeout(300)]
DOMAINS = ["many.example", "more.example"]
MANY = 10_000


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running() as provider:
        await make_account(provider)
        yield provider


async def make_account(provider: Provider) -> None:
    """The customer with two domains that the functions here fetch as."""
    await make_customer(provider, "many", DOMAINS, authcid="many")


async def secret_of(provider: Provider) -> str:
    """A fresh secret for the customer."""
    async with client(provider) as api:
        [one] = [c for c in (await api.get("/v1/credentials")).json()["data"] if c["authcid"] == "many"]
        return str((await api.post(f"/v1/credentials/{one['id']}/rotate")).json()["secret"])


async def drain(
    provider: Provider, count: int, *, tls: str, most: int | None = None, more: tuple[str, ...] = ()
) -> int:
    """Fills the queue and fetches all of it with one run of the connector; gives how many sessions that took."""
    names = [f"{tls}-{most}-{len(more)}-{i}" for i in range(count)]
    await fill(provider, names, DOMAINS)
    connection = await database(provider)
    before = await connection.fetchval("SELECT count(*) FROM sessions")
    async with Sink(most=most) as sink:
        result = await call(provider, sink, tls=tls, user="many", secret=await secret_of(provider), options=more)
    assert result.exit == Exit.OK, result.said
    for i, domain in enumerate(DOMAINS):
        came = [name_of(m.content) for m in sink.messages if m.forward_paths == (f"user@{domain}",)]
        assert came == names[i :: len(DOMAINS)], f"{domain}: not all of it, or not in order"
    await settled(provider)
    sessions = await connection.fetchval("SELECT count(*) FROM sessions") - before
    await connection.close()
    return int(sessions)


@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
async def test_r60_ten_thousand_messages_in_one_session(provider: Provider, tls: str) -> None:
    """R61: in order for each domain."""
    assert await drain(provider, MANY if tls != "implicit" else MANY // 10, tls=tls) == 1


async def test_a_server_that_says_421_after_so_many_gets_them_all(provider: Provider) -> None:
    assert await drain(provider, MANY // 5, tls="none", most=MANY // 20) == 4


async def test_r59_two_sessions_share_a_queue(provider: Provider) -> None:
    """No duplicate, and each has its part."""
    names = [f"shared-{i}" for i in range(2_000)]
    await fill(provider, names, DOMAINS)
    secret = await secret_of(provider)
    async with Sink() as one, Sink() as two:
        results = await asyncio.gather(*(call(provider, sink, user="many", secret=secret) for sink in (one, two)))
        assert {result.exit for result in results} == {Exit.OK}, results
        times = Counter(name_of(message.content) for sink in (one, two) for message in sink.messages)
        assert times == Counter(names)
        assert min(len(one.messages), len(two.messages)) >= 200


LIVE = 200


async def test_r66_an_idle_live_session_costs_less_than_100_kib(provider: Provider) -> None:
    """Memory of the process, before and after so many more of them."""
    async with client(provider) as api:
        customers = []
        for i in range(20):
            customer = (await api.post("/v1/customers", json={"name": f"idle {i}"})).json()["id"]
            await api.post("/v1/domains", json={"customer_id": customer, "name": f"idle{i}.example"})
            body = {"customer_id": customer, "when_empty": "live"}
            customers.append((await api.post("/v1/credentials", json=body)).json())
    warm = [await _idle(provider, customers[0]) for _ in range(5)]
    before = _resident(provider)
    lines = [await _idle(provider, customers[i % 20]) for i in range(LIVE)]
    growth = (_resident(provider) - before) / LIVE
    for line in (*warm, *lines):
        await line.close()
    connection = await database(provider)

    async def are_over() -> bool:
        return not await connection.fetchval("SELECT count(*) FROM leases")

    await until(are_over, 30)
    await connection.close()
    assert growth < 100 * 1024, f"{growth / 1024:.0f} KiB a session"


async def _idle(provider: Provider, credential: dict[str, str]) -> SocketLine:
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.ports.odmr)
    line = SocketLine(reader, writer)
    said = ["P: 220 *", "C: EHLO c", "P: ...", "P: 250 ATRN", "C: AUTH CRAM-MD5", "P: 334 *"]
    said += [f"C: {{cram {credential['authcid']} {credential['secret']}}}", "P: 235 *", "C: ATRN", "P: 250 *"]
    said += ["C: 220 c", "P: EHLO *", "C: 250 c"]
    turns = tuple(Turn(one[0], one[3:], i) for i, one in enumerate(said))
    await speak(Dialogue("idle", (), frozenset(), turns), line)
    return line


def _resident(provider: Provider) -> int:
    """Octets of odmr's memory."""
    with open(f"/proc/{provider.child('odmr').pid}/statm") as file:
        return int(file.read().split()[1]) * 4096
