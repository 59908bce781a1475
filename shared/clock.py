"""The wall clock, randomness and ids made from them. The only module that asks the time of day."""

import secrets
import time
from datetime import UTC, datetime
from uuid import UUID

from shared.domain.names import uuid7


class Clock:
    """What needs the time or an id takes one of these."""

    def __init__(self) -> None:
        self._last_millisecond = 0
        self._counter = 0

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the clock

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        return time.monotonic()

    def new_id(self) -> UUID:
        """A uuid7; those of one process are in the order in which they were made."""
        millisecond = max(time.time_ns() // 1_000_000, self._last_millisecond)
        if millisecond == self._last_millisecond:
            self._counter += 1
            if self._counter > 0xFFF:
                millisecond, self._counter = millisecond + 1, 0
        else:
            self._counter = 0
        self._last_millisecond = millisecond
        return uuid7(millisecond, self._counter, secrets.token_bytes(8))

    def new_secret(self) -> str:
        """256 bits for a person or a program to keep, URL-safe."""
        return secrets.token_urlsafe(32)
