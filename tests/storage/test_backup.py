"""A backup loaded into another cluster: all rows are there, and readers of the event log miss nothing of what comes then."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli import backup
from cli.api import EX_NOINPUT, EX_UNAVAILABLE
from cli.backup import EX_CANTCREAT, EX_SOFTWARE
from shared.domain.access import OPERATOR
from shared.program import EX_CONFIG
from shared.storage import schema
from shared.storage.accept import Acceptor
from shared.storage.engine import Pool, create_engine, create_pool
from shared.storage.event_log import START, EventLog, Position
from tests.conftest import TABLES
from tests.flows.command import odmr
from tests.postgres import serving
from tests.storage.seeding import seed


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[str]:
    """An empty database in a cluster that has counted few transactions."""
    async with serving(tmp_path / "elsewhere", "first") as url:
        await schema.create_database(f"{url}postgres", "restored")
        yield f"{url}restored"


async def _accept(url: str, pool: Pool, domain: str) -> None:
    customer = await seed(url, domain)
    acceptor = Acceptor(pool)
    acceptor.start()
    await acceptor.accept(customer.message(b"Subject: x\r\n\r\nbody\r\n"))
    await acceptor.close()


async def _counts(pool: Pool) -> dict[str, int]:
    return {table: await pool.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


async def _read(url: str, after: Position) -> list[str]:
    engine = create_engine(url, size=1)
    try:
        return [event.type for event in await EventLog(engine).page(OPERATOR, after, [], None, 100)]
    finally:
        await engine.dispose()


async def _last(url: str) -> Position:
    engine = create_engine(url, size=1)
    try:
        return (await EventLog(engine).page(OPERATOR, START, [], None, 100))[-1].position
    finally:
        await engine.dispose()


@pytest.mark.fresh_database
async def test_all_of_it_comes_back_in_another_cluster(
    database_url: str, pool: Pool, elsewhere: str, tmp_path: Path
) -> None:
    for _ in range(2_000):  # this cluster is older than the other
        await pool.execute("SELECT pg_current_xact_id()")
    await _accept(database_url, pool, "old.example")
    cursor, file = await _last(database_url), tmp_path / "odmr.dump"
    said = await odmr("db", "backup", str(file), ODMR_DATABASE_URL=database_url)
    assert (said.exit, said.err) == (0, "") and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (await odmr("db", "restore", str(file), ODMR_DATABASE_URL=elsewhere)).exit == 0
    said = await odmr("db", "restore", str(file), ODMR_DATABASE_URL=elsewhere)
    assert said.exit == EX_SOFTWARE and "The database restored is not empty, and nothing in it was changed" in said.err
    restored = await create_pool(elsewhere, size=2)
    try:
        assert await _counts(restored) == await _counts(pool)
        assert await _read(elsewhere, cursor) == []
        await _accept(elsewhere, restored, "new.example")
        assert (await _read(elsewhere, cursor))[-1] == "message.received"
        ahead = Position(cursor.xid + 1_000_000, cursor.id)  # of who read on after the backup was made
        assert (await _read(elsewhere, ahead))[-1] == "message.received"
        horizon = await restored.fetchval("SELECT events_horizon()::text")
        await schema.upgrade(elsewhere)
        assert int(await restored.fetchval("SELECT events_horizon()::text")) - int(horizon) < 1_000
    finally:
        await restored.close()


@pytest.mark.fresh_database
async def test_an_upgrade_in_place_moves_nothing(database_url: str, pool: Pool) -> None:
    await _accept(database_url, pool, "old.example")
    await schema.upgrade(database_url)
    assert await pool.fetchval("SELECT events_horizon() = pg_snapshot_xmin(pg_current_snapshot())")


async def test_each_that_cannot_be_done_says_why(database_url: str, tmp_path: Path) -> None:
    said = await odmr("db", "backup", str(tmp_path / "no" / "x"), ODMR_DATABASE_URL=database_url)
    assert (said.exit, said.err.endswith("x cannot be written: No such file or directory\n")) == (EX_CANTCREAT, True)
    said = await odmr("db", "restore", str(tmp_path / "x"), ODMR_DATABASE_URL=database_url)
    assert said.exit == EX_NOINPUT and "name a file that `odmr db backup` wrote" in said.err
    said = await odmr("db", "backup", str(tmp_path / "x"))
    assert said.exit == EX_CONFIG and said.err.startswith("ODMR_DATABASE_URL is not set")
    wrong = database_url.replace("secret", "hunter2")
    said = await odmr("db", "backup", str(tmp_path / "x"), ODMR_DATABASE_URL=wrong)
    assert said.exit == EX_SOFTWARE and said.err.startswith("pg_dump failed: ") and "hunter2" not in said.err
    assert not list(tmp_path.glob("x*"))
    (tmp_path / "text").write_text("no dump")
    said = await odmr("db", "restore", str(tmp_path / "text"), ODMR_DATABASE_URL=database_url)
    assert said.exit == EX_SOFTWARE and said.err.startswith("pg_restore failed: ")


def test_a_machine_without_postgresql_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ODMR_DATABASE_URL", "postgresql://u:p@127.0.0.1:1/x")
    assert backup._run("pg_nothing") == EX_UNAVAILABLE
    assert "pg_nothing is not here: install postgresql-client" in capsys.readouterr().err
