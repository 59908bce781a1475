"""fetchmail fetches, swaks and smtp-source send: a provider that only its own connector understands is none. R106."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localserve.provider import Provider
from localserve.sink import Sink
from tests.flows.live import database, running
from tests.flows.sender import DOMAIN, Ledger, name_of, send_all
from tests.interop.peers import program, smtp_source

pytestmark = [pytest.mark.xdist_group("interop"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running() as provider:
        yield provider


async def fetchmail(
    provider: Provider, sink: Sink, tmp_path: Path, *, tls: bool, domains: str = DOMAIN
) -> tuple[int, str]:
    """One poll as Debian's fetchmail does it; its exit code (1: no mail) and words."""
    port = provider.ports.odmr_tls if tls else provider.ports.odmr
    ssl = f'ssl sslcertck sslcertfile "{provider.ca_file}"' if tls else ""
    rc = tmp_path / "fetchmailrc"
    rc.touch(0o600)
    rc.write_text(
        f"poll localhost protocol ODMR service {port} timeout 60\n"
        f'  user "{provider.secrets.demo_user}" password "{provider.secrets.demo_secret}"\n'
        f"  fetchdomains {domains} smtphost 127.0.0.1/{sink.port} {ssl}\n"
    )
    process = await asyncio.create_subprocess_exec(
        program("fetchmail"), "-f", str(rc), "--nosyslog", "--pidfile", str(tmp_path / "pid"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")


async def fetch_with_fetchmail(provider: Provider, tmp_path: Path, count: int, *, tls: bool) -> None:
    """Sends so many messages and has fetchmail fetch them: none lost, none twice, and 453 after."""
    sink = Sink()
    await sink.start()
    names = [f"fetchmail-{tls}-{i}" for i in range(count)]
    await send_all(provider.ports.smtp, names, Ledger(), 120)
    code, said = await fetchmail(provider, sink, tmp_path, tls=tls)
    assert code == 0, said
    assert Counter(name_of(message.content) for message in sink.messages) == Counter(names)
    code, said = await fetchmail(provider, sink, tmp_path, tls=tls)
    assert code == 0 and "You have no mail" in said, said
    assert len(sink.messages) == count
    await sink.stop()


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "implicit-tls"])
async def test_fetchmail_fetches_what_there_is(provider: Provider, tmp_path: Path, tls: bool) -> None:
    """R64: over TLS with one line a record, no stall. `make show-1` does it with 500."""
    await fetch_with_fetchmail(provider, tmp_path, 100, tls=tls)


async def test_fetchmail_asks_for_a_foreign_domain(provider: Provider, tmp_path: Path) -> None:
    sink = Sink()
    await sink.start()
    await send_all(provider.ports.smtp, ["kept"], Ledger(), 60)
    code, said = await fetchmail(provider, sink, tmp_path, tls=False, domains=f"{DOMAIN} elsewhere.example")
    assert code != 0 and sink.messages == [], said
    code, _ = await fetchmail(provider, sink, tmp_path, tls=False)
    assert code == 0 and len(sink.messages) == 1
    await sink.stop()


async def test_fetchmail_with_a_local_server_that_is_down_loses_nothing(provider: Provider, tmp_path: Path) -> None:
    """R42: it says ATRN first, and then we see an end instead of a greeting."""
    sink = Sink()
    await sink.start()
    await send_all(provider.ports.smtp, ["patient"], Ledger(), 60)
    await sink.stop()
    code, _ = await fetchmail(provider, sink, tmp_path, tls=False)
    assert code != 0
    connection = await database(provider)
    row = await connection.fetchrow(
        "SELECT attempts, is_uncertain FROM recipients WHERE domain = $1 AND state IN ('queued', 'leased')", DOMAIN
    )
    await connection.close()
    assert row is not None and tuple(row) == (0, False)
    again = Sink()
    await again.start()
    code, _ = await fetchmail(provider, again, tmp_path, tls=False)
    assert code == 0 and [name_of(message.content) for message in again.messages] == ["patient"]
    await again.stop()


async def test_swaks_sends(provider: Provider) -> None:
    process = await asyncio.create_subprocess_exec(
        program("swaks"), "--server", f"127.0.0.1:{provider.ports.smtp}", "--from", "me@sender.example", "--to", f"you@{DOMAIN}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said
    assert b"250 2.0.0 OK queued as " in said
    await empty(provider)


@pytest.mark.parametrize(
    ("sessions", "count", "size", "more"), [(1, 50, 4096, []), (10, 200, 4096, ["-d"]), (5, 20, 300_000, [])]
)
async def test_smtp_source_sends(provider: Provider, sessions: int, count: int, size: int, more: list[str]) -> None:
    binary, env = smtp_source()
    process = await asyncio.create_subprocess_exec(
        binary, "-s", str(sessions), "-m", str(count), "-l", str(size), "-f", "a@remote.example", "-t", f"u@{DOMAIN}", *more,
        f"127.0.0.1:{provider.ports.smtp}", env=env, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 0, said
    assert await empty(provider) == count


async def empty(provider: Provider) -> int:
    """Takes what is queued out of the spool, and tells how much it was."""
    connection = await database(provider)
    count = await connection.fetchval(
        "WITH gone AS (DELETE FROM recipients WHERE domain = $1 AND state = 'queued' RETURNING 1) SELECT count(*) FROM gone",
        DOMAIN,
    )
    await connection.close()
    return int(count)
