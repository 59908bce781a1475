"""How long to wait for the next call: mail that waits behind a broken line is fetched soon, and nobody is asked in step.

A line that broke, or a live session that ended, is called anew within a second, and each time that nothing comes of it after
twice as long, up to the interval; so is a provider that refused. After an empty queue it waits the whole interval.
"""

import random
from collections.abc import Callable
from typing import Final

from connector.outcome import Exit, Outcome

#: Seconds to the first call after a line that broke; longer ones follow while calls come to nothing.
FIRST: Final = 1.0
#: A live session that lasted so long has come to something, though no mail came.
LASTED: Final = 60.0
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
        wait, self._next = self._next, min(2 * self._next, self._every)
        return self._with_chance(wait)

    def _with_chance(self, seconds: float) -> float:
        return seconds * (1 - JITTER * self._chance())
