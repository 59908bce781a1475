"""Whether a domain's queue is full: the quotas of messages and octets, asked at RCPT (R80)."""

from typing import Final

from services.inbound.policy import MAX_QUOTA_AGE
from shared.clock import Clock
from shared.domain.names import DomainId
from shared.storage.hosted import HostedDomain, HostedDomains

#: Domains of which a figure is remembered.
_MOST: Final = 10_000


class Quotas:
    """Remembers an answer for MAX_QUOTA_AGE, so a flood costs one count a second; what comes meanwhile may be too much."""

    def __init__(self, hosted: HostedDomains, clock: Clock) -> None:
        self._hosted = hosted
        self._clock = clock
        self._full_until: dict[DomainId, tuple[bool, float]] = {}

    async def is_full(self, domain: HostedDomain) -> bool:
        """Errors of the database pass through: the sender hears 451."""
        if domain.max_messages is None and domain.max_bytes is None:
            return False
        now = self._clock.monotonic()
        known, until = self._full_until.get(domain.id, (False, 0.0))
        if now < until:
            return known
        rows, octets = await self._hosted.waiting(domain.id, domain.max_messages)
        is_full = rows == domain.max_messages or (domain.max_bytes is not None and octets >= domain.max_bytes)
        if len(self._full_until) >= _MOST:
            self._full_until.clear()
        self._full_until[domain.id] = is_full, now + MAX_QUOTA_AGE
        return is_full
