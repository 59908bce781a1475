"""What the services count and measure, for Prometheus: /metrics of each service's admin port.

Names are prefixed odmr_, in base units; labels are bounded, and never a domain or a customer: those are in the API's usage.
A service has what it counts itself and zeros of the rest. deploy/observability names these, and a test that they exist.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY: Final = CollectorRegistry()
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
#: From milliseconds, for who is connected, to the 14 days that mail is kept.
_AGES: Final = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    5,
    15,
    60,
    300,
    900,
    3600,
    4 * 3600,
    86_400,
    7 * 86_400,
    14 * 86_400,
)
_OCTETS: Final = tuple(float(4**power) for power in range(5, 14))  # 1 KiB to 64 MiB

INBOUND_CONNECTIONS: Final = Counter("odmr_inbound_connections_total", "Connections of senders.", registry=REGISTRY)
INBOUND_ACTIVE: Final = Gauge("odmr_inbound_connections_active", "Senders that are connected.", registry=REGISTRY)
INBOUND_REPLIES: Final = Counter(
    "odmr_inbound_replies_total", "Replies to senders, by the first digit.", ("code_class",), registry=REGISTRY
)
INBOUND_MESSAGES: Final = Counter(
    "odmr_inbound_messages_total", "Contents, by what became of them: accepted, deferred, rejected.",
    ("result",),
    registry=REGISTRY,
)  # fmt: skip
INBOUND_BYTES: Final = Histogram(
    "odmr_inbound_message_bytes", "Octets of messages that were accepted.", buckets=_OCTETS, registry=REGISTRY
)
INBOUND_STORE: Final = Histogram(
    "odmr_inbound_store_duration_seconds", "From the end of data to the commit.", buckets=_SECONDS, registry=REGISTRY
)
AUTH_ATTEMPTS: Final = Counter(
    "odmr_auth_attempts_total", "Ends of SASL exchanges: granted, denied, unavailable.", ("mechanism", "result"),
    registry=REGISTRY,
)  # fmt: skip
AUTH_DURATION: Final = Histogram(
    "odmr_auth_duration_seconds", "One step of one.", ("mechanism",), buckets=_SECONDS, registry=REGISTRY
)
SESSIONS_ACTIVE: Final = Gauge(
    "odmr_sessions_active", "Customers that are connected, turned or not.", registry=REGISTRY
)
SESSIONS: Final = Counter(
    "odmr_sessions_total", "Sessions that have ended, by whether they were turned.", ("result",), registry=REGISTRY
)
SESSION_DURATION: Final = Histogram(
    "odmr_session_duration_seconds", "From the greeting to the end.", buckets=(1, 10, 60, 600, 3600, 6 * 3600, 86_400),
    registry=REGISTRY,
)  # fmt: skip
ATRN: Final = Counter(
    "odmr_atrn_total", "ATRN, by its answer: turned, no_mail, refused, unavailable.", ("result",), registry=REGISTRY
)
ATTEMPTS: Final = Counter(
    "odmr_delivery_attempts_total", "Recipients that were tried, by disposition.", ("result",), registry=REGISTRY
)
DELIVERED_BYTES: Final = Counter("odmr_delivery_bytes_total", "Octets that customers' servers took.", registry=REGISTRY)
QUEUE_LATENCY: Final = Histogram(
    "odmr_queue_latency_seconds", "From our 250 to the customer's, for mail that came while it was connected or before.",
    ("connected",), buckets=_AGES, registry=REGISTRY,
)  # fmt: skip
QUEUE_MESSAGES: Final = Gauge("odmr_queue_messages", "Recipients that wait, by state.", ("state",), registry=REGISTRY)
QUEUE_BYTES: Final = Gauge("odmr_queue_bytes", "Octets that wait, by state.", ("state",), registry=REGISTRY)
QUEUE_OLDEST: Final = Gauge(
    "odmr_queue_oldest_age_seconds", "Age of the oldest that waits, by state.", ("state",), registry=REGISTRY
)
DATABASE_BYTES: Final = Gauge("odmr_database_bytes", "Octets of the database on disk.", registry=REGISTRY)
CERTIFICATE_ENDS: Final = Gauge(
    "odmr_certificate_end_timestamp_seconds", "When the listeners' certificate ends; 0 without one.", registry=REGISTRY
)
NOTICES: Final = Counter("odmr_notices_total", "Notices to senders that were made.", registry=REGISTRY)
PUBLISHED: Final = Counter(
    "odmr_events_publish_total", "Wake-ups, by whether the bus took them: ok, lost.", ("result",), registry=REGISTRY
)
WEBHOOKS: Final = Counter(
    "odmr_webhook_deliveries_total", "Attempts to tell a webhook endpoint: delivered, again, failed.", ("result",),
    registry=REGISTRY,
)  # fmt: skip
API_REQUESTS: Final = Counter(
    "odmr_api_requests_total", "Requests to the HTTP API.", ("method", "route", "status"), registry=REGISTRY
)
API_DURATION: Final = Histogram(
    "odmr_api_request_duration_seconds", "From the request to the end of its answer.", buckets=_SECONDS,
    registry=REGISTRY,
)  # fmt: skip


def text() -> bytes:
    """All of it in Prometheus' text form 0.0.4."""
    return generate_latest(REGISTRY)


def names() -> frozenset[str]:
    """Every series that there may be, with the endings of histograms."""
    found = set()
    for family in REGISTRY.collect():
        base = family.name
        match family.type:
            case "counter":
                found.add(f"{base}_total")
            case "histogram":
                found |= {f"{base}_bucket", f"{base}_sum", f"{base}_count"}
            case _:
                found.add(base)
    return frozenset(found)
