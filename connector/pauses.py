"""How long to wait for the next call: mail that waits behind a broken line is fetched soon, and nobody is asked in step.

A line that broke, or a live session that ended, is called anew within a second, and each time that nothing comes of it after
twice as long; so is a provider that refused. A queue that was found empty is asked for again after the interval.
"""

import random
from collections.abc import Callable
from typing import Final

from connector.outcome import Exit, Outcome

#: Seconds to the first call after a line that broke; longer ones follow while calls come to nothing.
FIRST: Final = 1.0
#: A live session that lasted so long has come to something, though no mail came.
LASTED: Final = 60.0
#: A wait is never longer than this many times the interval.
MAX_FACTOR: Final = 16
#: Part of a wait that is left to chance, so that customers do not call in step.
JITTER: Final = 0.2


class Pauses:
    """Of one connector. `every` is its interval in seconds; `chance` gives numbers from 0 to 1."""

    def __init__(self, every: float, chance: Callable[[], float] = random.random) -> None:
        self._every = every
        self._chance = chance
        self._next = FIRST

    def after(self, outcome: Outcome, lasted: float) -> float:
        """Seconds to wait after a call that took so many."""
        if outcome.taken or lasted >= LASTED:
            self._next = FIRST
        if outcome.ended_by_server and outcome.taken:  # nobody else's fault: all others go on, and it may take more
            return 0.0
        if outcome.exit is Exit.OK and not outcome.was_live:
            self._next = FIRST
            return self._with_chance(self._every)
        most = self._every if outcome.exit in (Exit.OK, Exit.CUT) else self._every * MAX_FACTOR
        wait = min(self._next, most)
        self._next = min(2 * wait, self._every * MAX_FACTOR)
        return self._with_chance(wait)

    def _with_chance(self, seconds: float) -> float:
        return seconds * (1 - JITTER * self._chance())
