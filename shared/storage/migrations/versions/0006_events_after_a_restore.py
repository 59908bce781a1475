"""How far readers of the event log may look, as a function: a database that was restored into another cluster moves it.

Until then it is what version 0005 asks for itself. shared.storage.restored says when and how it is moved.
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds; a reader of version 0005 sees the same."""
    op.execute(
        "CREATE FUNCTION events_horizon() RETURNS xid8 LANGUAGE sql STABLE "
        "AS 'SELECT pg_snapshot_xmin(pg_current_snapshot())'"
    )


def downgrade() -> None:
    """Takes it away, where nothing was restored."""
    op.execute("DROP FUNCTION events_horizon()")
