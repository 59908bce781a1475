"""The tables that the nouns of the API read and write, for SQLAlchemy Core. The migrations make them; a test compares."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    column,
    table,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

_WHEN = DateTime(timezone=True)

customers = Table(
    "customers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid),
    Column("plan_id", Uuid),
    Column("external_id", Text),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("suspended_for", Text, nullable=False),
    Column("metadata", JSONB, nullable=False),
    Column("receiving", Text, nullable=False),
    Column("resume_at", _WHEN),
    Column("purge_at", _WHEN),
    Column("expected_every_seconds", Integer),
    Column("absent_since", _WHEN),
    Column("created_at", _WHEN, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid),
    Column("name", Text, nullable=False),
    Column("retention_days", Integer, nullable=False),
    Column("max_domains", Integer),
    Column("max_messages", BigInteger),
    Column("max_bytes", BigInteger),
    Column("max_sessions", Integer),
    Column("max_message_bytes", BigInteger),
    Column("max_messages_per_hour", Integer),
    Column("created_at", _WHEN, nullable=False),
)

domains = Table(
    "domains",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("fail_after_seconds", Integer, nullable=False),
    Column("eight_bit", Text, nullable=False),
    Column("unknown_recipients", Text, nullable=False),
    Column("learn_refusals_seconds", Integer, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("retention_days", Integer),
    Column("delay_notice_seconds", Integer, nullable=False),
    Column("when_refused", Text, nullable=False),
    Column("max_messages", BigInteger),
    Column("max_bytes", BigInteger),
    Column("verified_at", _WHEN),
    Column("created_at", _WHEN, nullable=False),
)

domain_recipients = Table(
    "domain_recipients",
    metadata,
    Column("domain_id", Uuid, primary_key=True),
    Column("local_part", Text, primary_key=True),
)

refused_recipients = Table(
    "refused_recipients",
    metadata,
    Column("domain_id", Uuid, primary_key=True),
    Column("local_part", Text, primary_key=True),
    Column("reply", Text, nullable=False),
    Column("until", _WHEN, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("authcid", Text, nullable=False),
    Column("sealed_secret", LargeBinary),
    Column("sealed_scram", LargeBinary),
    Column("certificate", LargeBinary),
    Column("certificate_sha256", LargeBinary),
    Column("mechanisms", ARRAY(Text), nullable=False),
    Column("when_empty", Text, nullable=False),
    Column("aliases", ARRAY(Text), nullable=False),
    Column("allowed_domains", ARRAY(Text), nullable=False),
    Column("former_sealed_secret", LargeBinary),
    Column("former_sealed_scram", LargeBinary),
    Column("former_until", _WHEN),
    Column("last_atrn_at", _WHEN),
    Column("created_at", _WHEN, nullable=False),
    Column("revoked_at", _WHEN),
    Column("last_used_at", _WHEN),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid),
    Column("role", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", _WHEN, nullable=False),
    Column("revoked_at", _WHEN),
    Column("last_used_at", _WHEN),
    Column("expires_at", _WHEN),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("credential_id", Uuid, nullable=False),
    Column("peer", Text, nullable=False),
    Column("is_tls", Boolean, nullable=False),
    Column("mechanism", Text, nullable=False),
    Column("domains", ARRAY(Text), nullable=False),
    Column("is_live", Boolean, nullable=False),
    Column("started_at", _WHEN, nullable=False),
    Column("ended_at", _WHEN),
    Column("sent_messages", BigInteger, nullable=False),
    Column("sent_bytes", BigInteger, nullable=False),
    Column("why_ended", Text, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("reverse_path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("has_eight_bit", Boolean, nullable=False),
    Column("helo", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("trace_context", Text, nullable=False),
    Column("dsn_parameters", Text, nullable=False),
    Column("needs_smtputf8", Boolean, nullable=False),
    Column("received_at", _WHEN, nullable=False),
)

content = Table(
    "content",
    metadata,
    Column("message_id", Uuid, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("bytes", LargeBinary, nullable=False),
)

recipients = Table(
    "recipients",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("message_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("domain_id", Uuid, nullable=False),
    Column("lease_id", Uuid),
    Column("last_session_id", Uuid),
    Column("received_at", _WHEN, nullable=False),
    Column("next_at", _WHEN, nullable=False),
    Column("settled_at", _WHEN),
    Column("held_until", _WHEN),
    Column("size", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lost_leases", Integer, nullable=False),
    Column("is_uncertain", Boolean, nullable=False),
    Column("is_dsn_due", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("forward_path", Text, nullable=False),
    Column("dsn_parameters", Text, nullable=False),
    Column("last_reply", Text, nullable=False),
)

usage = Table(
    "usage",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("at", _WHEN, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("domain_id", Uuid, nullable=False),
    Column("meter", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
)

usage_buckets = Table(
    "usage_buckets",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("domain_id", Uuid, primary_key=True),
    Column("meter", Text, primary_key=True),
    Column("hour", _WHEN, primary_key=True),
    Column("amount", BigInteger, nullable=False),
)

usage_adjustments = Table(
    "usage_adjustments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("meter", Text, nullable=False),
    Column("hour", _WHEN, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("api_key_id", Uuid, nullable=False),
    Column("made_at", _WHEN, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("api_key_id", Uuid, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_sha256", LargeBinary, nullable=False),
    Column("status", Integer),
    Column("sealed_body", LargeBinary),
    Column("begun_at", _WHEN, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", _WHEN, nullable=False),
    Column("api_key_id", Uuid, nullable=False),
    Column("method", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("peer", Text, nullable=False),
)

#: Without its seen_xid, as events.
webhook_endpoints = table(
    "webhook_endpoints",
    column("id", Uuid),
    column("api_key_id", Uuid),
    column("customer_id", Uuid),
    column("role", Text),
    column("url", Text),
    column("types", ARRAY(Text)),
    column("sealed_secrets", LargeBinary),
    column("state", Text),
    column("disabled_for", Text),
    column("seen_id", Uuid),
    column("created_at", _WHEN),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("endpoint_id", Uuid, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("event_at", _WHEN, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", _WHEN, nullable=False),
    Column("last_status", Integer),
    Column("last_error", Text, nullable=False),
    Column("settled_at", _WHEN),
)

#: Without its xid, which SQLAlchemy has no type for; so it is no Table of the metadata.
events = table(
    "events",
    column("id", Uuid),
    column("at", _WHEN),
    column("type", Text),
    column("customer_id", Uuid),
    column("message_id", Uuid),
    column("recipient_id", Uuid),
    column("session_id", Uuid),
    column("detail", Text),
)
