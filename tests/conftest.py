"""Real servers for the tests that want them: one PostgreSQL and one NATS a worker, a fresh database a test."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from localserve import nats
from localserve.children import Child
from localserve.layout import SERVICES, Layout, free_port, temporary_root
from shared.storage.engine import Pool, create_pool
from tests.postgres import serving

pytest_plugins = ["tests.statements"]
# With rich's tracebacks, which show each frame's values, an error that is logged takes ten seconds.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

TABLES = (
    "webhook_deliveries", "webhook_endpoints", "idempotency_keys", "audit", "usage_adjustments", "sessions", "api_keys", "credentials", "domain_recipients", "refused_recipients", "domains", "plans", "customers", "messages", "content", "uploads", "recipients",
    "leases", "notices", "auth_failures", "usage", "usage_buckets", "events",
)  # fmt: skip


@pytest.fixture(scope="session")
def root() -> Iterator[Path]:
    """A data folder for this worker."""
    with temporary_root("odmr-test-") as path:
        yield path


@pytest.fixture(scope="session")
async def postgres_url(root: Path) -> AsyncIterator[str]:
    """A PostgreSQL server; the URL ends before the database's name. `template_odmr` has the schema."""
    async with serving(root, "template_odmr") as url:
        yield url


@pytest.fixture(scope="session")
async def shared_database(postgres_url: str) -> AsyncIterator[tuple[str, Pool]]:
    """One database for the tests that leave its schema and settings alone, and the statement that empties it."""
    admin = await create_pool(f"{postgres_url}postgres", size=1)
    await admin.execute("CREATE DATABASE test_shared TEMPLATE template_odmr")
    await admin.close()
    pool = await create_pool(f"{postgres_url}test_shared", size=1)
    yield f"{postgres_url}test_shared", pool
    await pool.close()


@pytest.fixture
async def database_url(
    request: pytest.FixtureRequest, postgres_url: str, shared_database: tuple[str, Pool]
) -> AsyncIterator[str]:
    """An empty database with the schema; one of the test's own where it is marked `fresh_database`."""
    if request.node.get_closest_marker("fresh_database") is None:
        url, pool = shared_database
        emptied = "; ".join(f"DELETE FROM {table}" for table in TABLES)
        await pool.execute(f"UPDATE customers SET plan_id = NULL; {emptied}")  # the two name each other
        yield url
        return
    name = f"test_{secrets.token_hex(6)}"
    admin = await create_pool(f"{postgres_url}postgres", size=1)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template_odmr")
    yield f"{postgres_url}{name}"
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Connections to it."""
    made = await create_pool(database_url)
    yield made
    await made.close()


@pytest.fixture(scope="session")
async def nats_urls(root: Path) -> AsyncIterator[dict[str, str]]:
    """A NATS server; service -> its URL, with its own user."""
    layout = Layout(root)
    layout.prepare()
    port = free_port()
    passwords = {service: secrets.token_hex(8) for service in SERVICES}
    child = Child(nats.program(layout, port, passwords), layout, print)
    await child.start()
    yield {service: nats.url(service, password, port) for service, password in passwords.items()}
    await child.stop()
