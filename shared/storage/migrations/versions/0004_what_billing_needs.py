"""Plans with limits, customers that are terminated, repeated requests, the audit log, adjustments, absence, webhooks."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = """
ALTER TABLE plans ADD COLUMN owner_id uuid REFERENCES customers;
ALTER TABLE plans ADD COLUMN max_domains integer CHECK (max_domains > 0);
ALTER TABLE plans ADD COLUMN max_messages bigint CHECK (max_messages > 0);
ALTER TABLE plans ADD COLUMN max_bytes bigint CHECK (max_bytes > 0);
ALTER TABLE plans ADD COLUMN max_sessions integer CHECK (max_sessions BETWEEN 1 AND 20);

ALTER TABLE customers ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}';
ALTER TABLE customers ADD COLUMN receiving text NOT NULL DEFAULT 'hold' CHECK (receiving IN ('hold', 'tempfail', 'reject'));
ALTER TABLE customers ADD COLUMN purge_at timestamptz;
ALTER TABLE customers ADD COLUMN expected_every_seconds integer CHECK (expected_every_seconds > 0);
ALTER TABLE customers ADD COLUMN absent_since timestamptz;
CREATE INDEX customers_purge ON customers (purge_at) WHERE purge_at IS NOT NULL;
CREATE INDEX customers_expected ON customers (id) WHERE expected_every_seconds IS NOT NULL;
CREATE INDEX customers_plan ON customers (plan_id) WHERE plan_id IS NOT NULL;

ALTER TABLE leases ADD COLUMN is_ended boolean NOT NULL DEFAULT false;

CREATE TABLE idempotency_keys (
    api_key_id uuid NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    key text NOT NULL,
    request_sha256 bytea NOT NULL,
    status integer,
    sealed_body bytea,
    begun_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (api_key_id, key));
CREATE INDEX idempotency_keys_age ON idempotency_keys (begun_at);

CREATE TABLE audit (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    api_key_id uuid NOT NULL REFERENCES api_keys,
    method text NOT NULL,
    path text NOT NULL,
    status integer NOT NULL,
    request_id text NOT NULL,
    peer text NOT NULL);

CREATE TABLE usage_adjustments (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customers,
    meter text NOT NULL,
    hour timestamptz NOT NULL,
    amount bigint NOT NULL CHECK (amount <> 0),
    reason text NOT NULL,
    api_key_id uuid NOT NULL REFERENCES api_keys,
    made_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX usage_adjustments_customer ON usage_adjustments (customer_id, hour);
CREATE INDEX usage_buckets_hour ON usage_buckets (hour);

CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY,
    api_key_id uuid NOT NULL REFERENCES api_keys,
    customer_id uuid REFERENCES customers,
    role text NOT NULL CHECK (role IN ('operator', 'reseller', 'customer')),
    url text NOT NULL,
    types text[] NOT NULL,
    sealed_secrets bytea NOT NULL,
    state text NOT NULL DEFAULT 'enabled' CHECK (state IN ('enabled', 'disabled')),
    disabled_for text NOT NULL DEFAULT '',
    seen_xid xid8 NOT NULL,
    seen_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE webhook_deliveries (
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    event_id uuid NOT NULL,
    event_at timestamptz NOT NULL,
    body text NOT NULL,
    state text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    last_status integer,
    last_error text NOT NULL DEFAULT '',
    settled_at timestamptz,
    PRIMARY KEY (endpoint_id, event_id));
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at) WHERE state = 'due';
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (event_at);
"""


def upgrade() -> None:
    """Adds; a row that version 0003 writes is still right."""
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Not offered: a request might be done twice."""
    raise RuntimeError(
        "this migration cannot be undone: it would forget requests that were done; restore a backup instead"
    )
