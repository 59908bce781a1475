"""The rules of leases: how long, how often renewed, when a session must stop by itself. DESIGN, decided 8."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

#: By the database's clock.
LEASE_TIME: Final = timedelta(seconds=30)
#: Rows that one statement leases: PERFORMANCE has 64 as the knee.
LEASE_BATCH: Final = 64
#: Sessions of one customer at a time: ours. Two share a queue without a gain beyond the customer's line; 20 are a mistake.
MAX_SESSIONS: Final = 20


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """One setting, from which the others follow, so that tests may run with half a second."""

    time: timedelta = LEASE_TIME

    @property
    def renew_every(self) -> timedelta:
        """A third: two renewals may be lost."""
        return self.time / 3

    @property
    def trust(self) -> timedelta:
        """How long after a renewal was asked for a session may start something: less than the lease, by a margin."""
        return self.time * 4 / 5
