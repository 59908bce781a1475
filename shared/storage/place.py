"""Where in the queue a session looks next. Pure: what it finds is told by whoever asks the database.

Order is by `next_at`. What a session has passed it skips, for the rows there are mostly dead; but what was committed late or
given back stands there too, and suspects stand aside. Neither waits for a pause, which may not come while mail keeps coming.
"""

from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Final

#: Seconds after which a session that always finds something ahead looks at what it has passed, and at suspects.
LOOK_BACK: Final = 1.0
LONG_AGO: Final = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Look:
    """One question to the queue: rows from `since` on, at most so many; suspects, or all others."""

    since: datetime
    most: int
    are_suspects: bool = False


@dataclass(slots=True)
class Place:
    """Of one session in the mail of domains of one priority. `now` is the event loop's time."""

    _passed: datetime | None = None
    _back_due: float = inf
    _suspects_due: float = inf
    _had_suspect: bool = False

    def looks(self, now: float, most: int) -> list[Look]:
        """What to ask, until one finds something. One suspect at a time, and other mail between two of them."""
        ahead = [Look(LONG_AGO, most)]
        if self._passed is not None and now < self._back_due:
            ahead.insert(0, Look(self._passed, most))
        suspect = Look(LONG_AGO, 1, are_suspects=True)
        return [suspect, *ahead] if now >= self._suspects_due else [*ahead, suspect]

    def looked(self, look: Look, now: float, last: datetime | None) -> None:
        """What came of it: `next_at` of the last row, or None."""
        if look.are_suspects:
            self._suspects_due, self._had_suspect = inf, last is not None
            return
        if look.since == LONG_AGO:
            self._back_due = inf
        if last is not None:
            self._passed = last
            self._back_due = min(self._back_due, now + LOOK_BACK)
            self._suspects_due = min(self._suspects_due, now + (0.0 if self._had_suspect else LOOK_BACK))
            self._had_suspect = False
