"""Each service ended with SIGTERM and started anew, 20 times in turn, while mail runs through all of them."""

import asyncio
import itertools
import time
from collections import Counter

from rich.progress import Progress

from localserve.layout import SERVICES
from localserve.sink import Sink
from tests.flows.customer import start
from tests.flows.live import running, settled
from tests.flows.sender import Ledger, name_of, send_all
from tests.show.lines import NotShown, console
from tests.waiting import lasts

TIMES = 20
#: Seconds that a session may take to finish its message.
DRAIN = "5"
SENDERS = 4
#: Seconds that mail runs between two restarts, and for all of it to arrive at the end.
BETWEEN = 0.2
ARRIVES = 60.0


async def restarts() -> str:
    """Each message arrives once, though nobody on this side remembers (no ledger), and no sender hears 5xx."""
    async with running(ODMR_DRAIN_SECONDS=DRAIN, ODMR_POLL_SECONDS="1") as provider, Sink() as sink:
        connector = await start(provider, sink, command="run", options=("--live", "--every", "1", "--ledger", "none"))
        stop, ledgers, slowest = asyncio.Event(), [Ledger() for _ in range(SENDERS)], 0.0

        async def send(number: int) -> None:
            for count in itertools.count():
                if stop.is_set():
                    return
                await send_all(provider.ports.smtp, [f"{number}-{count}"], ledgers[number], ARRIVES)

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(SENDERS):
                    group.create_task(send(number))
                with Progress(console=console, transient=True) as progress:
                    bar = progress.add_task("restarts", total=TIMES * len(SERVICES))
                    for _ in range(TIMES):
                        for service in SERVICES:
                            began = time.monotonic()
                            await provider.restart(service)
                            slowest = max(slowest, time.monotonic() - began)
                            await lasts(BETWEEN)
                            progress.advance(bar)
                stop.set()
            acked = [name for ledger in ledgers for name in ledger.acked]
            await sink.wait_for(len(acked), ARRIVES)
            await settled(provider)
        finally:
            if connector.returncode is None:
                connector.terminate()
            _, said = await connector.communicate()
            if connector.returncode:
                console.print(f"the connector ended with {connector.returncode}: {said.decode()[-2000:]}")
    return _judged(acked, ledgers, Counter(name_of(message.content) for message in sink.messages), slowest)


def _judged(acked: list[str], ledgers: list[Ledger], got: Counter[str], slowest: float) -> str:
    permanent = [one for ledger in ledgers for one in ledger.permanent]
    unsure = {name for ledger in ledgers for name in ledger.unsure}
    twice = [name for name, count in got.items() if count > 1 and name not in unsure]
    lost = [name for name in acked if name not in got]
    figure = (
        f"{TIMES} restarts of each of {len(SERVICES)} services, drain {DRAIN} s, the slowest {slowest:.1f} s: {len(acked)} messages, "
        f"{len(lost)} lost, {len(twice)} twice, {len(permanent)} replies 5xx"
    )
    if lost or twice or permanent:
        raise NotShown(f"{figure}: {(lost + twice + permanent)[:5]}")
    if unsure:
        figure += f"; {len(unsure)} senders were cut off without an answer and sent again"
    return figure
