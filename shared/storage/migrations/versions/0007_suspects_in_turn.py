"""Suspects are found by an index of their own: they are asked for while other mail waits, however much (decision 16)."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Adds; services of version 0006 do not use it."""
    op.execute(
        "CREATE INDEX recipients_suspects ON recipients (customer_id, next_at, id) "
        "WHERE state = 'queued' AND lost_leases >= 2"
    )


def downgrade() -> None:
    """Takes it away."""
    op.execute("DROP INDEX recipients_suspects")
