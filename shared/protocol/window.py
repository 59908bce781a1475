"""How much may be in flight: as much as the line holds, and not more, since what is in flight may have to be sent twice.

Twice the best rate that was seen times the shortest round trip: the line's own capacity (BBR, ACM Queue 14(5) 2016, has the
same two measures), and as much again so that it is never empty. It starts small, and doubles each round trip until the rate
grows no more.
"""

from dataclasses import dataclass
from typing import Final

#: Octets. DESIGN, decided 2.
START: Final = 64 * 1024
MOST: Final = 4 * 1024 * 1024
#: Samples of the rate of which the best counts: the line may get slower.
SAMPLES: Final = 32


@dataclass(frozen=True, slots=True)
class _Sent:
    at: float
    octets: int
    acknowledged_before: int


class Window:
    """Told of messages as they are sent and answered, by their keys; times in seconds, from any one clock."""

    def __init__(self) -> None:
        self.octets = START
        self._in_flight: dict[int, _Sent] = {}
        self._acknowledged = 0
        self._round_trip = float("inf")
        self._rates: list[float] = []

    def sent(self, key: int, octets: int, now: float) -> None:
        """A message of so many octets was begun."""
        self._in_flight[key] = _Sent(now, octets, self._acknowledged)

    def answered(self, key: int, now: float) -> None:
        """It has its outcome. One that was never sent counts for nothing."""
        sent = self._in_flight.pop(key, None)
        if sent is None:
            return
        self._acknowledged += sent.octets
        took = max(now - sent.at, 1e-6)
        self._round_trip = min(self._round_trip, took)
        rate = (self._acknowledged - sent.acknowledged_before) / took
        self._rates = [*self._rates[1 - SAMPLES :], rate]
        self.octets = min(max(START, int(2 * max(self._rates) * self._round_trip)), MOST)
