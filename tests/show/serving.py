"""The HTTP API under load: 100 requests a second beside running mail, and lists of a spool of 1,000,000 messages."""

import asyncio
import statistics
import time

import asyncpg
import httpx2

from localserve.provider import Provider
from localserve.provision import client
from localserve.sink import Received, Sink
from shared.protocol.reply import S250_OK, Reply
from tests.chaos.customers import Customer, start_customer
from tests.flows.live import running
from tests.show.lines import NotShown
from tests.waiting import lasts

RATE, SECONDS = 100, 20
#: Seconds: 99 of 100 requests are answered sooner.
GOAL = 0.050
ROWS = 1_000_000
PATHS = (
    "/v1/whoami", "/v1/customers", "/v1/domains/loaded.example/queue", "/v1/messages?limit=20", "/v1/usage?granularity=day",
    "/v1/customers/ext:loaded/status", "/v1/events?limit=20", "/v1/sessions",
)  # fmt: skip
#: Lists that are asked for at ROWS messages.
LISTS = (
    "/v1/messages?limit=100", "/v1/messages?limit=100&state=queued", "/v1/messages?limit=100&domain=rare.example",
    "/v1/messages?limit=100&customer_id=ext:rare", "/v1/messages?limit=100&state=held", "/v1/domains/rare.example/queue",
    "/v1/events?limit=100", "/v1/audit_log?limit=100", "/v1/usage?granularity=month&limit=100",
)  # fmt: skip
WATCHED = ("messages_default", "recipients", "events_default", "content_default")

FILL = """
INSERT INTO messages (id, reverse_path, size, sha256, has_eight_bit, helo, peer, received_at)
SELECT ('01900000-' || lpad(to_hex(i >> 16), 4, '0') || '-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
    'a@remote.example', 2000, '\\x00', false, 'x', '192.0.2.1', now() FROM generate_series(1, $1) i;
"""
FILL_RECIPIENTS = """
INSERT INTO recipients (id, message_id, customer_id, domain_id, domain, forward_path, size, received_at, next_at)
SELECT gen_random_uuid(), m.id, d.customer_id, d.id, d.name, 'u@' || d.name, m.size, m.received_at, now()
FROM messages m JOIN domains d ON d.name = CASE WHEN right(m.id::text, 5) = '00001' THEN 'rare.example' ELSE 'full.example' END
WHERE m.helo = 'x'
"""


FILL_EVENTS = "INSERT INTO events (type, customer_id, message_id) SELECT 'message.received', customer_id, message_id FROM recipients"


async def serving() -> str:
    """Both; fails when a list is read from one end to the other, or the goal is missed."""
    async with running(ODMR_API_REQUESTS_PER_SECOND="0", ODMR_SWEEP_SECONDS="1") as provider:
        p99, median, mails = await beside_mail(provider)
        slowest = await _lists(provider)
    figure = f"{RATE} requests a second for {SECONDS} s beside {mails} mails: p99 {p99 * 1000:.0f} ms, median {median * 1000:.1f} ms; {slowest}"
    if p99 > GOAL:
        raise NotShown(f"{figure}; the goal is {GOAL * 1000:.0f} ms")
    return figure


async def beside_mail(provider: Provider) -> tuple[float, float, int]:
    """99 of 100 requests are answered sooner, and half of them; in seconds. How many mails went through meanwhile."""

    runs = asyncio.Event()

    def answer(_message: Received) -> Reply:
        sink.messages.clear()
        runs.set()
        return S250_OK

    sink, stop = Sink(answer), asyncio.Event()
    customer = Customer("loaded", "loaded.example", ("--live", "--every", "1"), has_ledger=True)
    async with client(provider) as api, sink:
        await start_customer(provider, customer, sink.port)
        sending = asyncio.create_task(_send(provider, stop))
        times: list[float] = []
        try:
            for path in PATHS:
                (await api.get(path)).raise_for_status()
            await asyncio.wait_for(runs.wait(), 30)  # the connector is there
            begin, asked = time.monotonic(), []
            for i in range(RATE * SECONDS):  # each at its time, whether or not those before were answered
                await lasts(max(0.0, begin + i / RATE - time.monotonic()))
                asked.append(asyncio.create_task(_time(api, PATHS[i % len(PATHS)])))
            times = await asyncio.gather(*asked)
        finally:
            stop.set()
            mails = await sending
            for child in customer.children:
                await child.stop()
    times.sort()
    return times[len(times) * 99 // 100], statistics.median(times), mails


async def _time(api: httpx2.AsyncClient, path: str) -> float:
    began = time.monotonic()
    (await api.get(path)).raise_for_status()
    return time.monotonic() - began


async def _send(provider: Provider, stop: asyncio.Event) -> int:
    """Mail after mail on one connection, ten a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.ports.smtp)
    content = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n"
    said = (b"MAIL FROM:<a@remote.example>\r\n", b"RCPT TO:<u@loaded.example>\r\n", b"DATA\r\n", content + b".\r\n")
    await reader.readline()
    writer.write(b"HELO x\r\n")
    await reader.readline()
    mails = 0
    while not stop.is_set():
        for words in said:
            writer.write(words)
            await reader.readline()
        mails += 1
        await asyncio.sleep(0.1)
    writer.close()
    return mails


async def _lists(provider: Provider) -> str:
    connection = await asyncpg.connect(provider.database_url)
    try:
        async with client(provider) as api:
            for name in ("full", "rare"):
                await api.post("/v1/customers", json={"name": name, "external_id": name})
                await api.post("/v1/domains", json={"customer_id": f"ext:{name}", "name": f"{name}.example"})
            await connection.execute(FILL.replace("$1", str(ROWS)), timeout=600)
            await connection.execute(FILL_RECIPIENTS, timeout=600)
            await connection.execute(FILL_EVENTS, timeout=600)
            await connection.execute("ANALYZE", timeout=120)
            scanned, times = await _scans(connection), {}
            for path in LISTS:
                times[path] = statistics.median([await _time(api, path) for _ in range(5)])
                await asyncio.sleep(0.1)
        await connection.execute("SELECT pg_stat_force_next_flush()")
        after = await _scans(connection)
    finally:
        await connection.close()
    read = {table: after[table] - scanned[table] for table in WATCHED if after[table] > scanned[table]}
    worst = max(times, key=lambda path: times[path])
    if read:
        raise NotShown(f"read from end to end: {read}; slowest {worst} {times[worst] * 1000:.0f} ms")
    return f"at {ROWS:,} messages {len(LISTS)} lists, none read from end to end, the slowest {worst}: {times[worst] * 1000:.0f} ms"


async def _scans(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, int]:
    rows = await connection.fetch(
        "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = ANY($1)", list(WATCHED)
    )
    return {row["relname"]: row["seq_scan"] for row in rows}
