"""Whether a queue is full: the quotas of messages and octets of a domain and of its customer's plan, asked at RCPT (R80)."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from services.inbound.policy import MAX_QUOTA_AGE
from shared.clock import Clock
from shared.domain.names import DomainId
from shared.storage.hosted import HostedDomain, HostedDomains

#: Domains and customers of which a figure is remembered.
_MOST: Final = 10_000


class Quotas:
    """Remembers an answer for MAX_QUOTA_AGE, so a flood costs one count a second; what comes meanwhile may be too much."""

    def __init__(self, hosted: HostedDomains, clock: Clock) -> None:
        self._hosted = hosted
        self._clock = clock
        self._full_until: dict[UUID | tuple[UUID, str], tuple[bool, float]] = {}

    async def is_hour_full(self, domain: HostedDomain) -> bool:
        """Whether the customer got in this hour what its plan has for one."""
        if domain.plan_max_per_hour is None:
            return False
        key = (domain.customer_id, "hour")
        if not self._is_known(key):
            self._note(key, await self._hosted.received_this_hour(domain.customer_id) >= domain.plan_max_per_hour)
        return self._full_until[key][0]

    async def is_full(self, domain: HostedDomain) -> bool:
        """Errors of the database pass through: the sender hears 451."""
        if domain.max_messages is not None or domain.max_bytes is not None:
            if not self._is_known(domain.id):
                self._note(domain.id, await self._count([domain.id], domain.max_messages, domain.max_bytes))
            if self._full_until[domain.id][0]:
                return True
        if domain.plan_max_messages is None and domain.plan_max_bytes is None:
            return False
        if not self._is_known(domain.customer_id):
            domains = await self._hosted.domains_of(domain.customer_id)
            self._note(domain.customer_id, await self._count(domains, domain.plan_max_messages, domain.plan_max_bytes))
        return self._full_until[domain.customer_id][0]

    async def _count(self, domains: Sequence[DomainId], max_messages: int | None, max_bytes: int | None) -> bool:
        rows, octets = await self._hosted.waiting(domains, max_messages)
        return rows == max_messages or (max_bytes is not None and octets >= max_bytes)

    def _is_known(self, key: UUID | tuple[UUID, str]) -> bool:
        return self._clock.monotonic() < self._full_until.get(key, (False, 0.0))[1]

    def _note(self, key: UUID | tuple[UUID, str], is_full: bool) -> None:
        if len(self._full_until) >= _MOST:
            self._full_until.clear()
        self._full_until[key] = is_full, self._clock.monotonic() + MAX_QUOTA_AGE
