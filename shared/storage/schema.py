"""Brings a database to the schema of this version, one process at a time. Run by `odmr db upgrade` and localserve."""

from pathlib import Path
from typing import Final

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from shared.storage import restored
from shared.storage.engine import CONNECT_TIMEOUT, Engine, sqlalchemy_url

#: The advisory lock under which migrations run; any number will do as long as it is ours alone.
MIGRATION_LOCK: Final = 366_2645


class CannotReach(Exception):
    """The server does not answer, or does not let us in; the text is its own, without the address's password."""


async def create_database(server_url: str, name: str) -> None:
    """Makes the database if it is not there; `server_url` leads to another one of that server.

    Raises OSError, TimeoutError or asyncpg.PostgresError while the server does not answer.
    """
    connection = await asyncpg.connect(server_url, timeout=CONNECT_TIMEOUT)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


async def upgrade(database_url: str) -> None:
    """Runs what is missing. Two that start at once wait for one another. Raises CannotReach."""
    engine = create_async_engine(sqlalchemy_url(database_url))
    try:
        await _reach(engine)
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
            await connection.commit()
            await connection.run_sync(_upgrade)
            await connection.commit()
            await restored.go_on(connection)
            await connection.commit()
            await connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATION_LOCK})
            await connection.commit()
    finally:
        await engine.dispose()


async def _reach(engine: Engine) -> None:
    try:
        async with engine.connect():
            pass
    except (OSError, TimeoutError, asyncpg.PostgresError, DBAPIError) as error:
        raise CannotReach(str(getattr(error, "orig", None) or error).partition("\n")[0]) from None


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
