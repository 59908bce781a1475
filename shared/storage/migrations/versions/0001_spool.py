"""The spool, customers, and what is counted.

No foreign keys on the rows that every message writes (messages, content, recipients, usage, events): accept writes them in
one statement, the reaper removes them in one, and each foreign key would be a trigger a row.
"""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = """
CREATE TABLE plans (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    retention_days integer NOT NULL DEFAULT 14 CHECK (retention_days BETWEEN 4 AND 60),
    created_at timestamptz NOT NULL DEFAULT now());

CREATE TABLE customers (
    id uuid PRIMARY KEY,
    owner_id uuid REFERENCES customers,
    plan_id uuid REFERENCES plans,
    external_id text UNIQUE,
    name text NOT NULL,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'terminated')),
    created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX customers_owner ON customers (owner_id) WHERE owner_id IS NOT NULL;

CREATE TABLE domains (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customers,
    name text NOT NULL UNIQUE CHECK (name = lower(name)),
    fail_after_seconds integer NOT NULL DEFAULT 14400 CHECK (fail_after_seconds >= 0),
    eight_bit text NOT NULL DEFAULT 'hold' CHECK (eight_bit IN ('hold', 'send')),
    verified_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX domains_customer ON domains (customer_id);

CREATE TABLE credentials (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customers,
    authcid text NOT NULL UNIQUE,
    sealed_secret bytea NOT NULL,
    mechanisms text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    last_used_at timestamptz);
CREATE INDEX credentials_customer ON credentials (customer_id);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    customer_id uuid REFERENCES customers,
    role text NOT NULL CHECK (role IN ('operator', 'reseller', 'customer')),
    name text NOT NULL,
    prefix text NOT NULL,
    secret_sha256 bytea NOT NULL UNIQUE,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CHECK ((role = 'operator') = (customer_id IS NULL)));

CREATE TABLE messages (
    id uuid PRIMARY KEY,
    reverse_path text NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    has_eight_bit boolean NOT NULL,
    helo text NOT NULL,
    peer text NOT NULL,
    trace_context text NOT NULL DEFAULT '',
    received_at timestamptz NOT NULL)
    PARTITION BY RANGE (id);
CREATE TABLE messages_default PARTITION OF messages DEFAULT;

CREATE TABLE content (
    message_id uuid NOT NULL,
    seq integer NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (message_id, seq))
    PARTITION BY RANGE (message_id);
ALTER TABLE content ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE TABLE content_default PARTITION OF content DEFAULT;
ALTER TABLE content_default ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE uploads (
    message_id uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL);

CREATE TABLE recipients (
    id uuid PRIMARY KEY,
    message_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    domain_id uuid NOT NULL,
    lease_id uuid,
    last_session_id uuid,
    received_at timestamptz NOT NULL,
    next_at timestamptz NOT NULL,
    settled_at timestamptz,
    held_until timestamptz,
    size bigint NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    lost_leases integer NOT NULL DEFAULT 0,
    is_uncertain boolean NOT NULL DEFAULT false,
    is_dsn_due boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'leased', 'delivered', 'failed', 'expired', 'held')),
    domain text NOT NULL,
    forward_path text NOT NULL,
    dsn_parameters text NOT NULL DEFAULT '',
    last_reply text NOT NULL DEFAULT '',
    CHECK ((state = 'leased') = (lease_id IS NOT NULL)),
    CHECK ((state IN ('delivered', 'failed', 'expired')) = (settled_at IS NOT NULL)))
    WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX recipients_due ON recipients (customer_id, next_at, id) WHERE state = 'queued';
CREATE INDEX recipients_leased ON recipients (lease_id) WHERE lease_id IS NOT NULL;
CREATE INDEX recipients_message ON recipients (message_id);
CREATE INDEX recipients_reapable ON recipients (settled_at) WHERE settled_at IS NOT NULL AND NOT is_dsn_due;
CREATE INDEX recipients_age ON recipients (received_at) WHERE state IN ('queued', 'held');
CREATE INDEX recipients_domain ON recipients (domain_id, state, received_at);

CREATE TABLE leases (
    id uuid PRIMARY KEY,
    session_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    fencing bigint GENERATED ALWAYS AS IDENTITY,
    leased_until timestamptz NOT NULL);
CREATE INDEX leases_customer ON leases (customer_id);
CREATE INDEX leases_until ON leases (leased_until);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customers,
    credential_id uuid NOT NULL REFERENCES credentials,
    peer text NOT NULL,
    is_tls boolean NOT NULL,
    mechanism text NOT NULL,
    domains text[] NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    sent_messages bigint NOT NULL DEFAULT 0,
    sent_bytes bigint NOT NULL DEFAULT 0,
    why_ended text NOT NULL DEFAULT '');
CREATE INDEX sessions_customer ON sessions (customer_id, started_at);

CREATE TABLE usage (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    customer_id uuid NOT NULL,
    domain_id uuid NOT NULL,
    meter text NOT NULL,
    amount bigint NOT NULL);
CREATE TABLE usage_buckets (
    customer_id uuid NOT NULL,
    domain_id uuid NOT NULL,
    meter text NOT NULL,
    hour timestamptz NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (customer_id, domain_id, meter, hour));

CREATE TABLE events (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    at timestamptz NOT NULL DEFAULT now(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    type text NOT NULL,
    customer_id uuid NOT NULL,
    message_id uuid,
    recipient_id uuid,
    session_id uuid,
    detail text NOT NULL DEFAULT '',
    PRIMARY KEY (at, id))
    PARTITION BY RANGE (at);
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE INDEX events_message ON events (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX events_xid ON events (xid, id);
"""


def upgrade() -> None:
    """Makes everything."""
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Not offered: mail would be lost."""
    raise RuntimeError("the first migration cannot be undone: it would drop the spool; drop the database instead")
