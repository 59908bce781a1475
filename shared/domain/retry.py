"""Back-off between attempts that nobody asked for. RFC 5321 4.5.4.1 leaves the strategy to us."""

from datetime import timedelta
from typing import Final

#: The customer is on the line when we try, so the first waits are short.
FIRST_DELAY: Final = timedelta(seconds=30)
MAX_DELAY: Final = timedelta(hours=1)


def back_off(attempts: int) -> timedelta:
    """The wait after an attempt, when `attempts` were made before it: 30 s, doubled each time, an hour at most."""
    return min(FIRST_DELAY * (1 << min(attempts, 16)), MAX_DELAY)
