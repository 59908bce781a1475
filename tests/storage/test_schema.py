"""The migrations make the tables that the code reads, and the plans that it counts on."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect

from shared.storage import schema, spool
from shared.storage.engine import Pool, create_engine
from shared.storage.place import LONG_AGO
from shared.storage.tables import metadata
from tests.storage.seeding import seed


async def test_the_tables_of_the_code_are_those_of_the_migrations(database_url: str) -> None:
    engine = create_engine(database_url, size=1)

    def columns(connection: Connection) -> dict[str, dict[str, tuple[str, bool]]]:
        inspector = inspect(connection)
        return {
            table: {c["name"]: (type(c["type"]).__name__, c["nullable"]) for c in inspector.get_columns(table)}
            for table in metadata.tables
        }

    async with engine.connect() as connection:
        found = await connection.run_sync(columns)
    await engine.dispose()
    for name, table in metadata.tables.items():
        declared = {
            column.name: (_KINDS[type(column.type).__name__], bool(column.nullable)) for column in table.columns
        }
        assert declared == found[name], name


#: SQLAlchemy's type -> what the inspector says of PostgreSQL's.
_KINDS = {
    "Uuid": "UUID", "Text": "TEXT", "DateTime": "TIMESTAMP", "SmallInteger": "SMALLINT", "BigInteger": "BIGINT", "Integer": "INTEGER",
    "Boolean": "BOOLEAN", "LargeBinary": "BYTEA", "ARRAY": "ARRAY",
    "JSONB": "JSONB",
}  # fmt: skip


@pytest.mark.fresh_database
async def test_upgrade_twice_changes_nothing(database_url: str, pool: Pool) -> None:
    await schema.upgrade(database_url)
    assert await pool.fetchval("SELECT version_num FROM alembic_version") == "0007"


@pytest.mark.fresh_database
@pytest.mark.parametrize(
    ("statement", "index", "customers"),
    [(spool._LEASE, "recipients_due", 50), (spool._LEASE_SUSPECT, "recipients_suspects", 1)],
)
async def test_a_lease_reads_its_own_mail_only(
    database_url: str, pool: Pool, statement: str, index: str, customers: int
) -> None:
    """What grows with the queue of others, or suspects with what is none, must not cost a look more. R38, decision 16."""
    customer = await seed(database_url)
    await pool.execute(
        "INSERT INTO recipients (id, message_id, customer_id, domain_id, domain, forward_path, size, received_at, next_at, lost_leases) "
        "SELECT gen_random_uuid(), gen_random_uuid(), md5((i % $1)::text)::uuid, gen_random_uuid(), 'x.example', 'a@x.example', 1, "
        "now(), now(), CASE WHEN i % 1000 = 0 THEN 2 ELSE 0 END FROM generate_series(1, 20000) i",
        customers,
    )
    await pool.execute("ANALYZE recipients")
    lease = customer.lease()
    await spool.Spool(pool).open_lease(lease, timedelta(seconds=30))
    plan = await pool.fetchval(
        "EXPLAIN (FORMAT JSON) " + statement,
        lease.id,
        lease.session_id,
        lease.customer_id,
        LONG_AGO,
        ["x.example"],
        64,
        True,
    )
    nodes = list(_nodes(json.loads(plan)[0]["Plan"]))
    assert any(node.get("Index Name") == index for node in nodes)
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "recipients"]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


@pytest.mark.parametrize("path", sorted(Path(spool.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_no_statement_changes_a_session(path: Path) -> None:
    """A connection goes back to the pool as it is (engine): what a session keeps would reach the next who gets it."""
    if path.stem != "schema":  # its connection is its own
        assert not re.search(
            r"pg_(try_)?advisory_lock|\bLISTEN |\bSET (SESSION|LOCAL|ROLE|TIME ZONE|\w+ TO)\b|\bset_config\b|\bDECLARE ",
            path.read_text(),
        )
