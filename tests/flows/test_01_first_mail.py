"""One provider, real processes: a mail in, a mail out, by every way that the slice has."""

import asyncio
import smtplib
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from connector.outcome import Exit
from localserve.provider import Provider
from localserve.provision import client, make_customer
from localserve.sink import Received, Sink
from shared.protocol.reply import Reply
from tests.flows.customer import call
from tests.flows.live import database, running
from tests.flows.sender import DOMAIN, Ledger, name_of, send_all
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("first")


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running() as provider:
        yield provider


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    made = Sink()
    await made.start()
    yield made
    await made.stop()


async def _queue(provider: Provider, domain: str = DOMAIN) -> dict[str, int]:
    async with client(provider) as api:
        answer = await api.get(f"/v1/domains/{domain}/queue")
        return dict(answer.json()["messages"])


@pytest.mark.parametrize("tls", ["starttls", "implicit", "none"])
async def test_a_mail_in_and_out(provider: Provider, sink: Sink, tls: str) -> None:
    await send_all(provider.ports.smtp, [f"{tls}-{i}" for i in range(100)], Ledger(), 60)
    assert (await _queue(provider))["queued"] == 100
    result = await call(provider, sink, tls=tls)
    assert result.exit == Exit.OK, result.said
    assert [name_of(message.content) for message in sink.messages] == [
        f"{tls}-{i}" for i in range(100)
    ]  # R61: in order
    assert (await _queue(provider)).get("queued", 0) == 0


async def test_nothing_waits_is_success(provider: Provider, sink: Sink) -> None:
    result = await call(provider, sink)
    assert (result.exit, result.said) == (Exit.OK, "odmr-connector: no mail\n")


async def test_07_a_wrong_secret(provider: Provider, sink: Sink) -> None:
    result = await call(provider, sink, secret="wrong")
    assert result.exit == Exit.AUTH_WRONG and "535" in result.said


async def test_a_domain_of_somebody_else(provider: Provider, sink: Sink) -> None:
    user, secret = await make_customer(provider, "neighbour", ["neighbour.example"])
    await asyncio.to_thread(_send, provider.ports.smtp, "u@neighbour.example")
    result = await call(provider, sink, options=("--domain", DOMAIN, "--domain", "neighbour.example"))
    assert result.exit == Exit.NOT_YOURS and sink.messages == []
    result = await call(provider, sink, user=user, secret=secret)
    assert result.exit == Exit.OK and [message.forward_paths for message in sink.messages] == [("u@neighbour.example",)]


async def test_r47_each_customer_gets_its_own_recipients(provider: Provider, sink: Sink) -> None:
    user, secret = await make_customer(provider, "second", ["second.example"])
    await asyncio.to_thread(_send, provider.ports.smtp, f"u@{DOMAIN}", "v@second.example")
    await call(provider, sink, user=user, secret=secret)
    assert [message.forward_paths for message in sink.messages] == [("v@second.example",)]
    await call(provider, sink)
    assert [message.forward_paths for message in sink.messages] == [("v@second.example",), (f"u@{DOMAIN}",)]


def _send(port: int, *to: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
        smtp.sendmail("a@remote.example", to, b"Subject: x\r\n\r\nbody\r\n")


async def test_06_two_sessions_of_one_customer(provider: Provider) -> None:
    """R59: the union is complete, without a duplicate."""
    names = [f"two-{i}" for i in range(300)]
    await send_all(provider.ports.smtp, names, Ledger(), 60)
    sinks = [Sink(), Sink()]
    for sink in sinks:
        await sink.start()
    results = await asyncio.gather(*(call(provider, sink) for sink in sinks))
    assert {result.exit for result in results} <= {Exit.OK, Exit.NOT_YOURS}
    await call(provider, sinks[0])
    times = Counter(name_of(message.content) for sink in sinks for message in sink.messages)
    assert times == Counter(names)
    for sink in sinks:
        await sink.stop()


async def test_refusals_of_the_customers_server(provider: Provider) -> None:
    """4xx and an early 5xx stay queued; a 5xx to the content is failed, kept and shown. R49."""
    await send_all(provider.ports.smtp, ["later", "never", "fine"], Ledger(), 60)

    def answer(message: Received) -> Reply:
        code = {"later": 451, "never": 554}.get(name_of(message.content), 250)
        return Reply(code, "", ("as you like",))

    sink = Sink(answer)
    await sink.start()
    assert (await call(provider, sink)).exit == Exit.OK
    assert [name_of(message.content) for message in sink.messages] == ["fine"]
    queue = await _queue(provider)
    assert queue["queued"] == 1 and queue["failed"] == 1
    assert (await call(provider, sink)).exit == Exit.OK  # R58: back-off does not hold an explicit ATRN
    connection = await database(provider)
    rows = await connection.fetch(
        "SELECT state, attempts, last_reply FROM recipients WHERE domain = $1 AND state <> 'delivered' ORDER BY id",
        DOMAIN,
    )
    await connection.execute("DELETE FROM recipients WHERE domain = $1", DOMAIN)
    await connection.close()
    assert [tuple(row) for row in rows] == [("queued", 2, "451 as you like"), ("failed", 1, "554 as you like")]
    await sink.stop()


async def test_eight_bit_mail_waits_for_a_server_that_takes_it(provider: Provider) -> None:
    await asyncio.to_thread(_send_eight_bit, provider.ports.smtp)
    sink = Sink(keywords=("PIPELINING",))
    await sink.start()
    await call(provider, sink)
    assert sink.messages == [] and (await _queue(provider))["held"] == 1
    await sink.stop()
    connection = await database(provider)
    await connection.execute("DELETE FROM recipients WHERE domain = $1", DOMAIN)
    await connection.close()


def _send_eight_bit(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
        smtp.sendmail(
            "a@remote.example", [f"u@{DOMAIN}"], b"Subject: x\r\n\r\n\xff\r\n", mail_options=["BODY=8BITMIME"]
        )


async def test_what_is_delivered_is_reaped_and_counted(provider: Provider, sink: Sink) -> None:
    await send_all(provider.ports.smtp, ["counted"], Ledger(), 60)
    await call(provider, sink)
    connection = await database(provider)

    async def is_reaped() -> bool:
        return not await connection.fetchval(
            "SELECT count(*) FROM messages m JOIN recipients r ON r.message_id = m.id WHERE r.state = 'delivered'"
        )

    await until(is_reaped, 20)
    counts = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM events WHERE type = 'message.delivered') AS told, "
        "(SELECT sum(amount) FROM (SELECT meter, amount FROM usage UNION ALL SELECT meter, amount FROM usage_buckets) u WHERE meter = 'messages_delivered') AS counted"
    )
    await connection.close()
    assert counts is not None and counts["told"] == counts["counted"] > 0
