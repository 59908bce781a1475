"""Messages a second that are durable: Postfix's smtp-source to Postfix, and to inbound, in turn. PERFORMANCE, goals.

Both say 250 when the message is on disk: Postfix in a queue file, which nothing delivers meanwhile; ours in PostgreSQL.
"""

import asyncio
import statistics
import time
from dataclasses import dataclass

from localserve.provider import Provider
from tests.flows.live import database, running
from tests.flows.sender import DOMAIN
from tests.interop.peers import smtp_source
from tests.interop.servers import postfix

#: Both sides, so often; the median counts.
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Case:
    """So many sessions at once, each sending many messages, or one."""

    sessions: int
    messages: int
    octets: int
    one_each: bool = False
    #: PERFORMANCE: what the ratio to Postfix is to be.
    goal: float | None = None

    def __str__(self) -> str:
        size = f"{self.octets // 1024} KiB" if self.octets < 1 << 20 else f"{self.octets >> 20} MiB"
        return f"{size}, {self.sessions} session{'s' * (self.sessions > 1)}, {'one each' if self.one_each else 'many'}"


CASES = [
    Case(1, 1_000, 4_096, goal=1.5),
    Case(10, 3_000, 4_096, goal=3),
    Case(100, 3_000, 4_096, goal=5),
    Case(100, 2_000, 4_096, one_each=True),
    Case(10, 1_000, 50 * 1024, goal=1.5),
    Case(100, 1_000, 50 * 1024, goal=3),
    Case(10, 30, 10 << 20, goal=1),
]


@dataclass(frozen=True, slots=True)
class Figure:
    """A case's medians, in messages a second."""

    case: Case
    ours: float
    peer: float

    @property
    def ratio(self) -> float:
        """Ours to the peer's."""
        return self.ours / self.peer


async def measure() -> list[Figure]:
    """Every case."""
    figures = []
    async with postfix(POSTFIX_KEEPS) as server, running() as provider:
        peer = int(server.deliver.rpartition(":")[2])
        for case in CASES:
            taken: dict[int, list[float]] = {peer: [], provider.ports.smtp: []}
            for _ in range(ROUNDS):
                for port, rates in taken.items():
                    rates.append(await _rate(case, port))
                    await _empty(provider)
            ours, theirs = (statistics.median(taken[port]) for port in (provider.ports.smtp, peer))
            figures.append(Figure(case, ours, theirs))
            print(f"{case}: {ours:.0f}/s, Postfix {theirs:.0f}/s, ratio {ours / theirs:.2f}", flush=True)
    return figures


#: Nothing is delivered, so that the queue costs Postfix no more than ours costs us.
POSTFIX_KEEPS = "defer_transports = discard\nmessage_size_limit = 104857600\nqueue_minfree = 0\n"


async def _rate(case: Case, port: int) -> float:
    binary, env = smtp_source()
    stay = [] if case.one_each else ["-d"]
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        binary, *stay, "-s", str(case.sessions), "-m", str(case.messages), "-l", str(case.octets),
        "-f", "a@remote.example", "-t", f"u@{DOMAIN}", f"127.0.0.1:{port}", env=env, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"smtp-source: {said.decode(errors='replace')}")
    return case.messages / (time.monotonic() - began)


async def _empty(provider: Provider) -> None:
    """What the case left is gone before the next, so that each begins alike."""
    connection = await database(provider)
    for table in ("recipients", "content", "messages", "events", "usage"):
        await connection.execute(f"TRUNCATE {table}", timeout=60)
    await connection.close()
