"""Connections to PostgreSQL: an asyncpg pool for the spool, a SQLAlchemy engine for the nouns."""

from typing import Any, Final, TypeAlias

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

#: Seconds until a statement counts as hung. RELIABILITY P2: 451 within 5 s.
STATEMENT_TIMEOUT: Final = 5.0
CONNECT_TIMEOUT: Final = 3.0

#: Settings without which a 250 is no promise. RELIABILITY 8.
_PROMISES: Final = {
    "fsync": frozenset({"on"}),
    "full_page_writes": frozenset({"on"}),
    "synchronous_commit": frozenset({"on", "remote_write", "remote_apply"}),
}

#: A plan that is made once outlives the day on which its tables were small: it must not read them from end to end.
_PLANS_ONCE: Final = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}

#: What a statement raises when the server or the way to it is gone: nobody knows whether it was done.
CONNECTION_LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,
)

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Engine: TypeAlias = AsyncEngine


class UnsafeDatabase(Exception):
    """The server is set so that an acknowledged commit can be lost."""


def sqlalchemy_url(database_url: str) -> str:
    """The same address for SQLAlchemy's asyncpg dialect."""
    return database_url.replace("postgresql://", "postgresql+asyncpg://", 1)


def create_engine(database_url: str, *, size: int = 4) -> AsyncEngine:
    """For customers, domains, credentials and what the API reads."""
    engine = create_async_engine(
        sqlalchemy_url(database_url),
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,  # an error that is logged shows no secret, sealed or not
        pool_timeout=STATEMENT_TIMEOUT,
        connect_args={"timeout": CONNECT_TIMEOUT, "command_timeout": STATEMENT_TIMEOUT},
    )
    event.listen(engine.sync_engine, "checkout", _is_open)
    return engine


def _is_open(connection: Any, _record: object, _proxy: object) -> None:
    """A connection that the server has closed meanwhile is not given out. pool_pre_ping would ask the server each time."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the server has closed the connection")


def reading(engine: Engine) -> Engine:
    """The same connections for single statements that only read: without BEGIN and ROLLBACK, each a round trip."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


async def answers(pool: Pool) -> bool:
    """Whether the database answers."""
    return bool(await pool.fetchval("SELECT true"))


async def database_size(pool: Pool) -> int:
    """Octets on disk of the database."""
    return int(await pool.fetchval("SELECT pg_database_size(current_database())"))


async def engine_answers(engine: AsyncEngine) -> bool:
    """The same of an engine."""
    async with reading(engine).connect() as connection:
        return bool((await connection.execute(text("SELECT true"))).scalar())


async def _leave(_connection: object) -> None:
    """Sets a released connection back: by nothing, where asyncpg has the server do RESET ALL and more behind each statement.

    No statement of the spool's changes a session, and its locks are a transaction's, which asyncpg itself ends.
    """


async def create_pool(database_url: str, *, size: int = 8, plans_once: bool = False) -> Pool:
    """For the spool. `plans_once`: statements that go by keys are planned once a connection, not each time for their arrays.

    Raises UnsafeDatabase, OSError or asyncpg's errors when there is no server to trust.
    """
    pool = await asyncpg.create_pool(
        database_url,
        min_size=1,
        max_size=size,
        timeout=CONNECT_TIMEOUT,
        command_timeout=STATEMENT_TIMEOUT,
        server_settings={
            "jit": "off",
            "timezone": "UTC",
            **(_PLANS_ONCE if plans_once else {}),
        },
        reset=_leave,
    )
    try:
        for name, safe in _PROMISES.items():
            value = await pool.fetchval("SELECT current_setting($1)", name)
            if value not in safe:
                raise UnsafeDatabase(f"PostgreSQL has {name} = {value}; a 250 needs {' or '.join(sorted(safe))}")
    except BaseException:
        await pool.close()
        raise
    return pool
