"""10,000 customers who wait on one odmr process: what each costs it, and how soon mail for any of them is there."""

import asyncio
import base64
import contextlib
import logging
import random
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import structlog
from rich.progress import Progress

from localserve.provider import HERE, Provider
from services.auth.keyring import Keyring
from services.auth.minter import Minter
from services.auth.seal import Seal
from shared.bus import payloads
from shared.clock import Clock
from shared.config import environment
from shared.storage.credentials import Credentials
from shared.storage.engine import create_engine
from tests.flows.live import running
from tests.flows.sender import content
from tests.show.lines import NotShown, console
from tests.waiting import lasts

#: The process's own limit (services.odmr.listener.MAX_CONNECTIONS).
SESSIONS = 10_000
PUSHES = 300
#: Octets a session, and seconds from our 250 to the last octet for 99 of 100 messages. PERFORMANCE, goals.
MOST_OCTETS = 20 * 1024
MOST_SECONDS = 0.1
LOGIN_TIME, PUSH_TIME = 900.0, 20.0
#: Seconds that all of them wait before anything is measured: longer than a renewal of each lease.
REST = 15.0

CUSTOMERS = """
WITH made AS (
    INSERT INTO customers (id, name) SELECT gen_random_uuid(), 'idle-' || i FROM generate_series(1, $1) i RETURNING id, name
)
INSERT INTO domains (id, customer_id, name) SELECT gen_random_uuid(), id, name || '.example' FROM made RETURNING customer_id, name
"""


async def idling() -> str:
    """Memory of each, and the time to push to any of them."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    async with running(ODMR_CRAM_MD5="always", ODMR_POLL_SECONDS="10") as provider:
        domains = await _make_customers(provider, SESSIONS)
        pid = provider.child("odmr").pid
        assert pid is not None
        before = _resident(pid)
        async with _customers(provider) as arrived:
            await lasts(REST)
            each = (_resident(pid) - before) / SESSIONS
            began_cpu, began = _cpu(pid), time.monotonic()
            await lasts(REST)
            idle_cpu = (_cpu(pid) - began_cpu) / (time.monotonic() - began)
            times = [await _push(provider, domain, arrived) for domain in random.Random(1).sample(domains, PUSHES)]
    times.sort()
    median, p99 = statistics.median(times), times[int(len(times) * 0.99) - 1]
    figure = (
        f"{SESSIONS:,} idle live sessions on one process: {each / 1024:.1f} KiB each, {idle_cpu * 100:.0f} % of a core while "
        f"they wait; from our 250 to the last octet at any of them: median {median * 1000:.1f} ms, p99 {p99 * 1000:.0f} ms"
    )
    if each > MOST_OCTETS or p99 > MOST_SECONDS:
        raise NotShown(f"{figure}; the goals are {MOST_OCTETS // 1024} KiB and {MOST_SECONDS * 1000:.0f} ms")
    return figure


async def _make_customers(provider: Provider, count: int) -> list[str]:
    """Each with a domain and a credential, which stand in a file."""
    connection = await asyncpg.connect(provider.database_url)
    rows = await connection.fetch(CUSTOMERS, count)
    await connection.close()
    engine = create_engine(provider.database_url, size=4)
    minter = Minter(Credentials(engine), Keyring(Seal(base64.b64decode(provider.secrets.seal_key))), Clock())
    lines = []
    with Progress(console=console, transient=True) as progress:
        for row in progress.track(rows, description="customers"):
            request = payloads.MintRequest("r", str(row["customer_id"]), mechanisms=("CRAM-MD5",), when_empty="live")
            made = await minter.mint(request)
            lines.append(f"{made.authcid} {made.secret}\n")
    await engine.dispose()
    _file(provider).write_text("".join(lines))
    return [row["name"] for row in rows]


@asynccontextmanager
async def _customers(provider: Provider) -> AsyncIterator[dict[str, asyncio.Future[float]]]:
    """Connected, in a process of their own. Whoever puts a name there hears when that message came."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most < SESSIONS + 100:
        raise NotShown(f"this machine lets a process have {most} files open")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.show.idle_customers", str(provider.ports.odmr), str(_file(provider)), cwd=HERE,
        env=dict(environment()), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)),
    )  # fmt: skip
    assert process.stdout is not None and process.stdin is not None
    output, arrived = process.stdout, dict[str, asyncio.Future[float]]()
    try:
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("sessions", total=SESSIONS)
            async with asyncio.timeout(LOGIN_TIME):
                while (line := (await output.readline()).decode().split()) != ["ready"]:
                    if not line:
                        raise NotShown("the customers' process ended")
                    progress.update(bar, completed=int(line[1]))

        async def hear() -> None:
            while line := (await output.readline()).decode().split():
                arrived[line[0]].set_result(float(line[1]))

        hearing = asyncio.create_task(hear())
        yield arrived
        hearing.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _push(provider: Provider, domain: str, arrived: dict[str, "asyncio.Future[float]"]) -> float:
    """Seconds from our 250 to a sender, to the last octet at the customer's server."""
    name = domain.partition(".")[0]
    arrived[name] = asyncio.get_running_loop().create_future()
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.ports.smtp)
    await reader.readline()
    for line in ("HELO remote.example", "MAIL FROM:<a@remote.example>", f"RCPT TO:<u@{domain}>", "DATA"):
        writer.write(f"{line}\r\n".encode())
        said = await reader.readline()
        assert said[:1] in b"23", said
    writer.write(content(name).replace(b"\r\n.", b"\r\n..") + b".\r\n")
    said = await reader.readline()
    accepted = time.monotonic()
    assert said.startswith(b"250"), said
    writer.close()
    async with asyncio.timeout(PUSH_TIME):
        return await arrived[name] - accepted


def _file(provider: Provider) -> Path:
    return provider.layout.root / "idle"


def _resident(pid: int) -> int:
    """Octets."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def _cpu(pid: int) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
