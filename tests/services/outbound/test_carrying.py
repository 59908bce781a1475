"""outbound on the real queue: it makes a notice, finds the way by DNS, and gives it to a stranger's server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from localserve import certificates
from localserve.layout import Layout, free_port
from services.outbound.app import run
from services.outbound.settings import OutboundSettings
from shared.clock import Clock
from shared.storage.engine import Pool
from shared.storage.notices import SYSTEM_CUSTOMER
from shared.tls import server_context
from tests.services.outbound.strangers import Stranger, Zone, names
from tests.storage.seeding import seed
from tests.storage.test_notices import accept, fail
from tests.waiting import until

Start = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
async def outbound(database_url: str, pool: Pool) -> Start:
    """Starts outbound beside one message that has failed."""
    customer = await seed(database_url)
    await accept(pool, customer.message())
    await fail(pool)

    @asynccontextmanager
    async def start(**settings: object) -> AsyncIterator[None]:
        stop = asyncio.Event()
        given = {"outbound_seconds": 0.05, "sweep_seconds": 0.05, "mx_networks": "127.0.0.0/8", **settings}
        known = {"database_url": database_url, "nats_url": "nats://none", "hostname": "mx.provider.example"}
        running = asyncio.create_task(run(OutboundSettings(**known, **given), stop))  # type: ignore[arg-type]
        try:
            yield
        finally:
            stop.set()
            await running

    return start


async def became(pool: Pool, state: str) -> str:
    """Waits until the notice has this state, or was told of; gives the last reply that was heard about it."""
    event = f"message.{'deferred' if state == 'queued' else state}"
    found: list[str] = []

    async def is_told() -> bool:
        rows = await pool.fetch(
            "SELECT detail FROM events WHERE customer_id = $1 AND type = $2", SYSTEM_CUSTOMER, event
        )
        found.extend(row["detail"] for row in rows)
        return bool(found)

    await until(is_told, 15)
    return found[0]


async def test_by_mx_with_tls_where_it_is_offered(outbound: Start, pool: Pool, tmp_path: Path) -> None:
    """The better preference does not answer, so the next is tried. A certificate that nobody vouches for is no obstacle."""
    layout = Layout(tmp_path)
    layout.prepare()
    _, chain, key = certificates.prepare(layout, Clock())
    stranger = Stranger({"EHLO": "250-s.example\n250 STARTTLS", "STARTTLS": "220 go"}, tls=server_context(chain, key))
    zone: Zone = {
        ("remote.example", "MX"): ["10 dead.remote.example.", "20 mx.remote.example."],
        ("dead.remote.example", "A"): ["127.0.0.9"],
        ("mx.remote.example", "A"): ["127.0.0.1"],
    }
    async with names(zone) as server, stranger.serving() as port, outbound(dns=server, mx_port=port):
        assert await became(pool, "delivered") == "250 taken"
    assert stranger.under_tls == 1 and stranger.heard[:4] == [
        "EHLO mx.provider.example", "STARTTLS", "EHLO mx.provider.example", "MAIL FROM:<>",
    ]  # fmt: skip
    assert stranger.heard[4] == "RCPT TO:<a@remote.example>" and "Status: 5.1.1" in stranger.contents[0]


async def test_in_clear_where_tls_breaks_or_is_not_there(outbound: Start, pool: Pool) -> None:
    """RFC 7435: a server that offers TLS and breaks it is called again and sent to in clear."""
    stranger = Stranger({"EHLO": "250-s.example\n250 STARTTLS", "STARTTLS": "220 go"}, breaks_tls=True)
    async with stranger.serving() as port, outbound(smart_host=f"127.0.0.1:{port}"):
        assert await became(pool, "delivered") == "250 taken"
    assert stranger.connections == 2 and stranger.under_tls == 0


@pytest.mark.parametrize(
    ("zone", "state", "says"),
    [
        ({}, "failed", "550 5.1.2 the domain remote.example does not exist"),
        ({("remote.example", "MX"): ["0 ."]}, "failed", "550 5.1.2 the domain remote.example takes no mail (RFC 7505)"),
        ({("remote.example", "MX"): ["5 mx.provider.example."]}, "failed", "550 5.4.6 the mail of that domain would come back to us"),
        ({("remote.example", "MX"): ["fail"]}, "queued", "450 4.4.3 remote.example: "),
        ({("remote.example", "MX"): ["5 m.remote.example."], ("m.remote.example", "A"): ["fail"]}, "queued", "450 4.4.3 m.remote.example: "),
        ({("remote.example", "MX"): ["5 m.remote.example."], ("m.remote.example", "A"): ["10.0.0.1", "169.254.169.254"], ("m.remote.example", "AAAA"): ["::ffff:10.0.0.1", "::1", "fe80::1"]}, "queued", "450 4.4.4 no server of that domain can be reached"),
        ({("remote.example", "A"): ["127.0.0.8"]}, "queued", "450 4.4.1 remote.example: cannot connect: "),
    ],
)  # fmt: skip
async def test_no_way_is_an_end_or_a_wait(outbound: Start, pool: Pool, zone: Zone, state: str, says: str) -> None:  # fmt: skip
    """Where DNS says that there is no mail it is over; what may pass is tried again; no private address is connected to."""
    async with names(zone) as server, outbound(dns=server, mx_port=free_port()):
        assert (await became(pool, state)).startswith(says)


@pytest.mark.parametrize(
    ("answers", "state", "says"),
    [
        ({"": "554 no mail here"}, "queued", "554 no mail here"),
        ({"": "hang up"}, "queued", "450 4.4.1 127.0.0.1: closed instead of a reply to greeting"),
        ({"MAIL": "550 no bounces"}, "failed", "550 no bounces"),
        ({"RCPT": "550 5.1.1 nobody"}, "failed", "550 5.1.1 nobody"),
        ({"RCPT": "451 later"}, "queued", "451 later"),
        ({".": "554 no"}, "failed", "554 no"),
        ({"DATA": "hang up"}, "queued", ""),
        ({".": "hang up"}, "queued", "end of data sent, no reply"),
    ],
)
async def test_what_a_stranger_says(
    outbound: Start, pool: Pool, answers: dict[str, str], state: str, says: str
) -> None:
    """T11: a notice that nobody takes is over, and makes no other."""
    stranger = Stranger(answers)
    async with stranger.serving() as port, outbound(smart_host=f"127.0.0.1:{port}"):
        if answers.get("DATA") == "hang up":  # queued at once, without a word of the server's

            async def tried_again() -> bool:
                return stranger.connections > 1

            await until(tried_again, 15)
        else:
            assert (await became(pool, state)).startswith(says)
    assert await pool.fetchval("SELECT count(*) FROM notices WHERE dsn_id IS NOT NULL") == 1


async def test_a_hop_that_is_silent_holds_no_other_domain_up(outbound: Start, pool: Pool, database_url: str) -> None:
    silent = Stranger({"": "220-s.example"})  # a greeting that never ends
    customer = await seed(database_url, "other.example")
    stranger = Stranger({})
    zone: Zone = {("remote.example", "A"): ["127.0.0.2"], ("quick.example", "A"): ["127.0.0.1"]}
    async with names(zone) as server, stranger.serving() as port, silent.serving("127.0.0.2", port), outbound(dns=server, mx_port=port):  # fmt: skip
        await accept(pool, customer.message(reverse_path="a@quick.example"))
        await fail(pool)
        assert await became(pool, "delivered") == "250 taken"
    states = await pool.fetch("SELECT state, lease_id FROM recipients WHERE domain = 'remote.example'")
    assert [tuple(row) for row in states] == [("queued", None)]  # given back when outbound ended
    assert not await pool.fetchval("SELECT count(*) FROM leases")


async def test_a_lease_lost_while_the_stranger_thinks_is_not_settled_as_failed(outbound: Start, pool: Pool) -> None:
    """Fencing: what is decided after the lease is gone changes nothing but a delivery."""
    answered = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 s\r\n")
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                if line.startswith(b"RCPT"):
                    await answered.wait()
                    writer.write(b"550 nobody\r\n")
                else:
                    writer.write(b"250 ok\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with outbound(smart_host=f"127.0.0.1:{port}", lease_seconds=30):

        async def is_leased() -> bool:
            return bool(await pool.fetchval("SELECT true FROM recipients WHERE state = 'leased'"))

        await until(is_leased, 10)
        await pool.execute("UPDATE leases SET leased_until = now() - interval '1 second'")

        async def is_rescued() -> bool:
            return bool(await pool.fetchval("SELECT true FROM recipients WHERE lost_leases = 1"))

        await until(is_rescued, 10)
        await pool.execute("UPDATE recipients SET next_at = now() + interval '1 hour' WHERE state = 'queued'")
        answered.set()
    server.close()
    assert await pool.fetchval("SELECT count(*) FROM recipients WHERE state = 'failed' AND customer_id = $1", SYSTEM_CUSTOMER) == 0  # fmt: skip
