"""One round: mail in and out while a program is killed at a named moment; then everything that got 250 must be there.

Used by the flow tests for some pairs of victim and moment, and by `make show-1` for all of them.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from itertools import count

from localserve.provider import Provider
from localserve.sink import Sink
from shared.storage.engine import CONNECTION_LOST
from tests.flows.customer import call, start
from tests.flows.live import database
from tests.flows.sender import DOMAIN, Ledger, name_of, send_all
from tests.waiting import until

#: The moments of "What it must show", line 5, and the failpoint that marks each.
MOMENTS = {
    "accept, before the commit": ("inbound", "inbound.before_commit"),
    "accept, after the commit": ("inbound", "inbound.after_commit"),
    "accept, after the 250": ("inbound", "inbound.after_250"),
    "lease": ("odmr", "odmr.leased"),
    "MAIL": ("odmr", "odmr.mail"),
    "DATA": ("odmr", "odmr.data"),
    "the dot": ("odmr", "odmr.after_dot"),
    "after the customer's 250": ("odmr", "odmr.replied"),
    "settle": ("odmr", "odmr.settled"),
}
VICTIMS = ("inbound", "odmr", "auth", "outbound", "connector", "postgres", "nats")
#: Settings under which a lost lease is found fast.
SETTINGS = {"ODMR_LEASE_SECONDS": "4"}
#: Victims whose death may repeat a message: between the local server's 250 and the ledger's fsync only the connector's own.
MAY_REPEAT = frozenset({"connector"})
MESSAGES = 6
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Round:
    """What a round showed."""

    victim: str
    moment: str
    repeated: int
    seconds: float


async def kill_round(provider: Provider, victim: str, moment: str) -> Round:
    """Fails when something is lost, repeated against the rule, refused for good, or when the kill missed."""
    began = asyncio.get_running_loop().time()
    service, point = MOMENTS[moment]
    target = "kill" if victim == service else f"kill:{provider.layout.pid_file(victim)}"
    # The third message, so that there is something before and behind it; some moments may come but once for all of them.
    await provider.restart(service, f"{point}={target}" + ("" if moment in ("lease", "the dot", "settle") else "@3"))
    starts = 0 if victim == "connector" else provider.child(victim).starts
    sink = Sink()
    await sink.start()
    ledger = Ledger()
    names = [f"{next(_numbers)}-{service}-{victim}" for _ in range(MESSAGES)]
    exits: list[int] = []
    try:
        if service == "inbound" and victim == "connector":
            exits.append(await _send_beside_a_connector(provider, sink, names, ledger))
        else:
            await send_all(provider.ports.smtp, names, ledger, 60)
        await _fetch_until_empty(provider, sink, exits)
    finally:
        await sink.stop()
    if victim == "connector":
        assert -9 in exits, f"the kill missed: {exits}"
    else:

        async def was_killed() -> bool:
            return provider.child(victim).starts == starts + 1

        await until(was_killed, 10, f"the kill of {victim} at {moment!r} missed")
        await provider.answers()
    _check(ledger, sink, names, victim)
    repeated = sum(Counter(name_of(m.content) for m in sink.messages).values()) - len(names)
    return Round(victim, moment, repeated, asyncio.get_running_loop().time() - began)


async def _send_beside_a_connector(provider: Provider, sink: Sink, names: list[str], ledger: Ledger) -> int:
    """Mail comes in while a connector calls again and again; gives how that one ended."""
    calling = await start(provider, sink, command="run", options=("--every", "1"))
    await send_all(provider.ports.smtp, names, ledger, 60)
    async with asyncio.timeout(10):
        await calling.communicate()
    assert calling.returncode is not None
    return calling.returncode


async def _fetch_until_empty(provider: Provider, sink: Sink, exits: list[int]) -> None:
    async with asyncio.timeout(60):
        while True:
            result = await call(provider, sink)
            exits.append(result.exit)
            try:
                connection = await database(provider)
                left = await connection.fetchval(
                    "SELECT count(*) FROM recipients WHERE domain = $1 AND state <> 'delivered'", DOMAIN
                )
                await connection.close()
            except CONNECTION_LOST:
                left = 1
            if not left and result.exit == 0:
                return


def _check(ledger: Ledger, sink: Sink, names: list[str], victim: str) -> None:
    assert not ledger.permanent, f"5xx for a fault of ours: {ledger.permanent}"
    assert sorted(ledger.acked) == sorted(names)
    times = Counter(name_of(message.content) for message in sink.messages)
    lost = [name for name in names if not times[name]]
    assert not lost, f"acknowledged and lost: {lost}"
    repeated = [name for name in names if times[name] > 1 and name not in ledger.unsure]
    if victim not in MAY_REPEAT:
        assert not repeated, f"twice, though nothing of its delivery died: {repeated}"
    assert all(times[name] <= 2 for name in names), times
