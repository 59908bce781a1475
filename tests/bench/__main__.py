"""`make bench`: measures, and writes the table in docs/performance.md anew."""

import asyncio
import re
import time

from localserve.provider import HERE
from shared.clock import Clock
from tests.bench.inbound import ROUNDS, Figure, measure
from tests.flows import test_06_many as many
from tests.flows.live import running
from tests.show.serving import GOAL, RATE, SECONDS, beside_mail

PERFORMANCE = HERE / "docs" / "performance.md"
#: Messages of a drain.
DRAINED = 5_000
BEGIN, END = "<!-- make bench -->", "<!-- /make bench -->"


async def api() -> str:
    """The HTTP API beside running mail."""
    async with running(ODMR_API_REQUESTS_PER_SECOND="0", ODMR_SWEEP_SECONDS="1") as provider:
        p99, median, mails = await beside_mail(provider)
    return (
        f"The HTTP API, {RATE} requests a second for {SECONDS} s beside {mails} mails: median {median * 1000:.1f} ms, "
        f"p99 {p99 * 1000:.0f} ms; goal {GOAL * 1000:.0f} ms."
    )


async def drains() -> str:
    """The connector, remembering and not."""
    said = []
    async with running() as provider:
        await many.make_account(provider)
        for what, more in (("remembers", ()), ("passes octets on", ("--mode", "pipe", "--ledger", "none"))):
            began = time.monotonic()
            await many.drain(provider, DRAINED, tls="starttls", more=more)
            said.append(f"{what} {DRAINED / (time.monotonic() - began):,.0f}")
    return f"A drain of {DRAINED:,} messages under STARTTLS with filling, messages a second, where the connector {', '.join(said)}."


def table(figures: list[Figure], more: list[str]) -> str:
    """The figures as Markdown."""
    rows = "".join(
        f"| {one.case} | {one.ours:,.0f} | {one.peer:,.0f} | {one.ratio:.2f} | {one.case.goal or ''} |\n"
        for one in figures
    )
    rest = "\n\n".join(more)
    return (
        f"{BEGIN}\n`make bench`, {Clock().now():%Y-%m-%d}: durable messages a second, inbound and Postfix 3.7 in turn, medians of "
        f"{ROUNDS}.\n\n| case | ours | Postfix | ratio | goal |\n|---|---|---|---|---|\n{rows}\n{rest}\n{END}"
    )


def main() -> None:
    """Runs it."""
    more = [asyncio.run(case()) for case in (api, drains)]
    text = table(asyncio.run(measure()), more)
    old = PERFORMANCE.read_text()
    PERFORMANCE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: text, old, flags=re.DOTALL))


if __name__ == "__main__":
    main()
