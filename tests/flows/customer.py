"""A customer's side for flows: the connector as a process, called until nothing waits."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from localserve.provider import HERE, Provider
from localserve.sink import Sink


@dataclass(frozen=True, slots=True)
class Call:
    """How one call of the connector ended."""

    exit: int
    said: str


async def start(
    provider: Provider,
    sink: Sink,
    *,
    command: str = "once",
    options: tuple[str, ...] = (),
    tls: str = "starttls",
    user: str = "",
    secret: str = "",
) -> asyncio.subprocess.Process:
    """A connector, as the demo customer if nobody else is named; its process id lies in a pid file."""
    layout = provider.layout
    file = layout.root / f"{user or 'demo'}.secret"
    layout.write_private(file, secret or provider.secrets.demo_secret)
    port = provider.ports.odmr_tls if tls == "implicit" else provider.ports.odmr
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connector", command,
        "--provider", f"localhost:{port}", "--tls", tls, "--ca-file", str(provider.ca_file),
        "--user", user or provider.secrets.demo_user, "--secret-file", str(file),
        "--deliver", f"127.0.0.1:{sink.port}", "--ledger", str(layout.root / "connector.ledger"), *options,
        cwd=HERE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    layout.pid_file("connector").write_text(str(process.pid))
    return process


async def finish(*argv: str, cwd: Path) -> Call:
    """Runs a program to its end; it does not outlive us."""
    return await _end(await asyncio.create_subprocess_exec(*argv, cwd=cwd, stderr=asyncio.subprocess.PIPE))


async def _end(process: asyncio.subprocess.Process) -> Call:
    try:
        _, said = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Call(process.returncode, said.decode(errors="replace"))


async def call(
    provider: Provider,
    sink: Sink,
    *,
    options: tuple[str, ...] = (),
    tls: str = "starttls",
    user: str = "",
    secret: str = "",
) -> Call:
    """Runs the connector once, to its end."""
    return await _end(await start(provider, sink, options=options, tls=tls, user=user, secret=secret))
