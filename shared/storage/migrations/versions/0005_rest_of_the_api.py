"""Limits of plans, suspensions that end, refusals that are learned, what a credential may ask for, keys in rotation.

Ids of events are uuid7 from now on (RFC 9562 5.7), of the time that the row has as `at`: so one is found by the primary key,
which begins with that, and no further index is written with each message.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = """
ALTER TABLE plans ADD COLUMN max_message_bytes bigint CHECK (max_message_bytes > 0);
ALTER TABLE plans ADD COLUMN max_messages_per_hour integer CHECK (max_messages_per_hour > 0);

ALTER TABLE customers ADD COLUMN resume_at timestamptz;
CREATE INDEX customers_resume ON customers (resume_at) WHERE resume_at IS NOT NULL;

ALTER TABLE domains ADD COLUMN priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN 0 AND 9);
ALTER TABLE domains ADD COLUMN learn_refusals_seconds integer NOT NULL DEFAULT 0 CHECK (learn_refusals_seconds >= 0);
CREATE TABLE refused_recipients (
    domain_id uuid NOT NULL REFERENCES domains ON DELETE CASCADE,
    local_part text NOT NULL,
    reply text NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (domain_id, local_part));
CREATE INDEX refused_recipients_until ON refused_recipients (until);

ALTER TABLE credentials ADD COLUMN allowed_domains text[] NOT NULL DEFAULT '{}';
ALTER TABLE credentials ADD COLUMN former_sealed_secret bytea;
ALTER TABLE credentials ADD COLUMN former_sealed_scram bytea;
ALTER TABLE credentials ADD COLUMN former_until timestamptz;

ALTER TABLE events ALTER COLUMN id SET DEFAULT overlay(
    gen_random_uuid()::text PLACING substr(lpad(to_hex(floor(extract(epoch FROM now()) * 1000)::bigint), 12, '0'), 1, 8)
    || '-' || substr(lpad(to_hex(floor(extract(epoch FROM now()) * 1000)::bigint), 12, '0'), 9) || '-7' FROM 1 FOR 15)::uuid;

ALTER TABLE api_keys ADD COLUMN last_used_at timestamptz;
ALTER TABLE api_keys ADD COLUMN expires_at timestamptz;
"""


def upgrade() -> None:
    """Adds; a row that version 0004 writes is still right."""
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Not offered: a key that was to end would live on."""
    raise RuntimeError("this migration cannot be undone: a key that was to end would live on; restore a backup instead")
