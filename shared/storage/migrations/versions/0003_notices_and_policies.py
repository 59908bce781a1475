"""DSN parameters and SMTPUTF8, notices to senders, policies and quotas of domains, deletion and holds by an operator."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = """
ALTER TABLE messages ADD COLUMN dsn_parameters text NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN needs_smtputf8 boolean NOT NULL DEFAULT false;

ALTER TABLE recipients DROP CONSTRAINT recipients_state_check;
ALTER TABLE recipients ADD CONSTRAINT recipients_state_check
    CHECK (state IN ('queued', 'leased', 'delivered', 'failed', 'expired', 'held', 'deleted'));
ALTER TABLE recipients DROP CONSTRAINT recipients_check1;
ALTER TABLE recipients ADD CONSTRAINT recipients_settled_check
    CHECK ((state IN ('delivered', 'failed', 'expired', 'deleted')) = (settled_at IS NOT NULL));
CREATE INDEX recipients_dsn_due ON recipients (settled_at) WHERE is_dsn_due;
CREATE INDEX recipients_held ON recipients (held_until) WHERE state = 'held' AND held_until IS NOT NULL;

CREATE TABLE notices (
    recipient_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('failed', 'delayed', 'relayed')),
    message_id uuid NOT NULL,
    reverse_path text NOT NULL,
    dsn_id uuid,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (recipient_id, kind));
CREATE INDEX notices_rate ON notices (reverse_path, made_at) WHERE dsn_id IS NOT NULL;
CREATE INDEX notices_age ON notices (made_at);

ALTER TABLE domains ADD COLUMN retention_days integer CHECK (retention_days BETWEEN 1 AND 60);
ALTER TABLE domains ADD COLUMN delay_notice_seconds integer NOT NULL DEFAULT 0 CHECK (delay_notice_seconds >= 0);
ALTER TABLE domains ADD COLUMN when_refused text NOT NULL DEFAULT 'fail' CHECK (when_refused IN ('fail', 'hold'));
ALTER TABLE domains ADD COLUMN max_messages bigint CHECK (max_messages > 0);
ALTER TABLE domains ADD COLUMN max_bytes bigint CHECK (max_bytes > 0);
"""


def upgrade() -> None:
    """Adds; a row that version 0002 writes is still right."""
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Not offered: a notice might be sent twice."""
    raise RuntimeError("this migration cannot be undone: it would forget who was told; restore a backup instead")
