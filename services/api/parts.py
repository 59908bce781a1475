"""What every request shares; made once, by app."""

from dataclasses import dataclass

from shared.bus.connection import Bus
from shared.clock import Clock
from shared.storage.api_keys import ApiKeys
from shared.storage.customers import Customers


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts, by name."""

    customers: Customers
    keys: ApiKeys
    bus: Bus
    clock: Clock
