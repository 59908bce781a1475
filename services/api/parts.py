"""What every request shares; made once, by app."""

from dataclasses import dataclass

from shared.bus.connection import Bus
from shared.clock import Clock
from shared.storage.api_keys import ApiKeys
from shared.storage.credentials import CredentialRecords
from shared.storage.customers import Customers
from shared.storage.domains import Domains
from shared.storage.engine import Engine
from shared.storage.handling import Handlings
from shared.storage.messages import Messages
from shared.storage.session_records import SessionRecords
from shared.storage.usage import Usage


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts, by name."""

    customers: Customers
    domains: Domains
    credentials: CredentialRecords
    messages: Messages
    handlings: Handlings
    sessions: SessionRecords
    usage: Usage
    keys: ApiKeys
    bus: Bus
    clock: Clock


def parts_on(engine: Engine, bus: Bus) -> Parts:
    """All of them on one database and one bus."""
    return Parts(
        Customers(engine),
        Domains(engine),
        CredentialRecords(engine),
        Messages(engine),
        Handlings(engine),
        SessionRecords(engine),
        Usage(engine),
        ApiKeys(engine),
        bus,
        Clock(),
    )
