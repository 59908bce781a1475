"""A PostgreSQL server of a test's own, from the wheel."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from localserve import postgres
from localserve.children import Child
from localserve.layout import Layout, free_port
from shared.storage import schema
from shared.storage.engine import CONNECTION_LOST
from tests.waiting import until


@asynccontextmanager
async def serving(root: Path, database: str) -> AsyncIterator[str]:
    """Its address up to the database's name, once it answers and has this database with the schema."""
    layout = Layout(root)
    layout.prepare()
    binaries, data, who = postgres.prepare(layout, "secret")
    port = free_port()
    child = Child(postgres.program(binaries, data, who, port), layout, print)
    await child.start()
    url = f"postgresql://odmr:secret@127.0.0.1:{port}/"

    async def is_there() -> bool:
        try:
            await schema.create_database(f"{url}postgres", database)
        except CONNECTION_LOST:
            return False
        return True

    try:
        await until(is_there, 30)
        await schema.upgrade(f"{url}{database}")
        yield url
    finally:
        await child.stop()
