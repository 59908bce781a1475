"""SCRAM keys, certificates and policies of credentials; failures to authenticate; recipient lists; live sessions."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = """
ALTER TABLE credentials ALTER COLUMN sealed_secret DROP NOT NULL;
ALTER TABLE credentials ADD COLUMN sealed_scram bytea;
ALTER TABLE credentials ADD COLUMN certificate bytea;
ALTER TABLE credentials ADD COLUMN certificate_sha256 bytea;
CREATE UNIQUE INDEX credentials_certificate ON credentials (certificate_sha256) WHERE revoked_at IS NULL;
ALTER TABLE credentials ADD COLUMN when_empty text NOT NULL DEFAULT 'refuse'
    CHECK (when_empty IN ('refuse', 'turn', 'live'));
ALTER TABLE credentials ADD COLUMN aliases text[] NOT NULL DEFAULT '{}';
ALTER TABLE credentials ADD COLUMN last_atrn_at timestamptz;
ALTER TABLE credentials ADD CHECK (revoked_at IS NOT NULL OR num_nonnulls(sealed_secret, sealed_scram, certificate) > 0);
ALTER TABLE credentials ADD CHECK ((certificate IS NULL) = (certificate_sha256 IS NULL));

CREATE UNLOGGED TABLE auth_failures (
    door bytea PRIMARY KEY,
    failures integer NOT NULL,
    last_at timestamptz NOT NULL);
CREATE INDEX auth_failures_age ON auth_failures (last_at);

ALTER TABLE domains ADD COLUMN unknown_recipients text NOT NULL DEFAULT 'accept'
    CHECK (unknown_recipients IN ('accept', 'reject'));
CREATE TABLE domain_recipients (
    domain_id uuid NOT NULL REFERENCES domains ON DELETE CASCADE,
    local_part text NOT NULL CHECK (local_part = lower(local_part)),
    PRIMARY KEY (domain_id, local_part));

ALTER TABLE customers ADD COLUMN suspended_for text NOT NULL DEFAULT '';

ALTER TABLE sessions ADD COLUMN is_live boolean NOT NULL DEFAULT false;
CREATE INDEX sessions_running ON sessions (id) WHERE ended_at IS NULL;
"""


def upgrade() -> None:
    """Adds; takes nothing away that version 0001 reads."""
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Not offered: SCRAM keys would be lost."""
    raise RuntimeError("this migration cannot be undone: it would drop credentials; restore a backup instead")
