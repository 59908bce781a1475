"""What every request shares; made once, by app."""

from dataclasses import dataclass

from shared.at_rest import AtRest
from shared.bus.connection import Bus
from shared.clock import Clock
from shared.resolve import Resolver
from shared.storage.api_keys import ApiKeys
from shared.storage.audit import AuditLog
from shared.storage.credentials import CredentialRecords
from shared.storage.customers import Customers
from shared.storage.diagnostics import Diagnostics
from shared.storage.domains import Domains
from shared.storage.engine import Engine
from shared.storage.event_log import EventLog
from shared.storage.handling import Handlings
from shared.storage.idempotency import IdempotencyKeys
from shared.storage.messages import Messages
from shared.storage.plans import Plans
from shared.storage.session_records import SessionRecords
from shared.storage.usage import Usage
from shared.storage.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Calls:
    """Where customers call: our name, and the ports as they see them: with STARTTLS, with TLS from the first octet, and with
    TLS that asks for a certificate."""

    hostname: str
    port: int
    tls_port: int
    certificate_port: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts, by name."""

    plans: Plans
    customers: Customers
    domains: Domains
    credentials: CredentialRecords
    messages: Messages
    handlings: Handlings
    sessions: SessionRecords
    usage: Usage
    events: EventLog
    webhooks: Webhooks
    keys: ApiKeys
    audit: AuditLog
    idempotency: IdempotencyKeys
    diagnostics: Diagnostics
    seal: AtRest
    bus: Bus
    clock: Clock
    resolver: Resolver
    #: Where customers call; an MX record of each domain must have our name.
    calls: Calls
    #: host:port that webhooks may call whatever they are.
    webhook_allow: tuple[str, ...]


def parts_on(
    engine: Engine,
    bus: Bus,
    seal_key: bytes,
    resolver: Resolver,
    calls: Calls,
    webhook_allow: tuple[str, ...] = (),
) -> Parts:
    """All of them on one database, one bus and one key."""
    return Parts(
        Plans(engine),
        Customers(engine),
        Domains(engine),
        CredentialRecords(engine),
        Messages(engine),
        Handlings(engine),
        SessionRecords(engine),
        Usage(engine),
        EventLog(engine),
        Webhooks(engine),
        ApiKeys(engine),
        AuditLog(engine),
        IdempotencyKeys(engine),
        Diagnostics(engine),
        AtRest(seal_key, b"odmr api at rest"),
        bus,
        Clock(),
        resolver,
        calls,
        webhook_allow,
    )
