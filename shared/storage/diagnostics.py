"""What an operator asks first when something is odd: which schema, which server, how large, who is on the line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import text

from shared.storage import schema
from shared.storage.reading import Nouns

_QUERY: Final = """
SELECT (SELECT version_num FROM alembic_version) AS schema_version, current_setting('server_version') AS server_version,
    pg_database_size(current_database()) AS octets,
    (SELECT count(*) FROM leases WHERE leased_until > now()) AS sessions,
    (SELECT count(*) FROM webhook_endpoints WHERE state <> 'enabled') AS webhooks_disabled
"""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Of the database. `octets` is its size on disk, `sessions` those that are turned."""

    schema_version: str
    server_version: str
    octets: int
    sessions: int
    webhooks_disabled: int


class Diagnostics(Nouns):
    """Looks; cheap, whatever waits in the queue."""

    async def look(self) -> Diagnosis:
        """Once."""
        return Diagnosis(**(await self._all(text(_QUERY)))[0])


def newest_schema() -> str:
    """The version that this program is for."""
    versions = Path(schema.__file__).with_name("migrations") / "versions"
    return max(path.name[:4] for path in versions.glob("[0-9]*.py"))
