"""The trace of one message: from the sender's MAIL in inbound to the customer's 250 in odmr, in processes that share no memory."""

import pytest

from localserve.sink import Sink
from tests.flows.collector import collecting
from tests.flows.customer import start
from tests.flows.live import database, running, settled
from tests.flows.sender import Ledger, send_all
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("traced"), pytest.mark.timeout(180)]
NAMES = {"smtp.receive", "store message", "send mail.queued", "process mail.queued", "odmr.deliver"}


async def test_one_trace_over_two_processes_and_the_queue() -> None:
    async with collecting() as collector:
        endpoint = f"http://127.0.0.1:{collector.port}"
        async with running(ODMR_OTLP_ENDPOINT=endpoint) as provider, Sink() as sink:
            connection = await database(provider)
            await send_all(provider.ports.smtp, ["kept"], Ledger(), 20)
            customer = await start(provider, sink, command="run", options=("--live", "--every", "1"))
            await sink.wait_for(1, 20)
            await send_all(provider.ports.smtp, ["pushed"], Ledger(), 20)
            await sink.wait_for(2, 20)
            await settled(provider)
            rows = await connection.fetch("SELECT message_id FROM recipients ORDER BY id DESC LIMIT 2")
            pushed, kept = (row["message_id"].bytes for row in rows)
            session_id = await connection.fetchval("SELECT id FROM sessions")
            await connection.close()
            customer.terminate()
            await customer.communicate()

            async def is_told() -> bool:
                return set(collector.of(pushed)) >= NAMES and bool(collector.of(session_id.bytes))

            await until(is_told, 30)
            assert set(collector.of(kept)) == NAMES - {"process mail.queued"}  # nobody waited for it
    for trace_id in (kept, pushed):
        spans = collector.of(trace_id)
        service, first = spans.pop("smtp.receive")
        assert (service, first.parent_span_id, first.span_id) == ("inbound", b"", trace_id[8:])
        assert all(span.parent_span_id == first.span_id for _, span in spans.values())
        service, delivered = spans["odmr.deliver"]
        assert service == "odmr" and [link.trace_id for link in delivered.links] == [session_id.bytes]
        told = {one.key: one.value.string_value for one in delivered.attributes}
        assert told["odmr.dispositions"] == "delivered"
        assert first.start_time_unix_nano < delivered.start_time_unix_nano < delivered.end_time_unix_nano
    [(service, session)] = collector.of(session_id.bytes).values()
    assert (service, session.name) == ("odmr", "odmr.session")
