"""Keeps a session's lease alive, and says until when it may be trusted."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import structlog

from shared.clock import Clock
from shared.domain.lease import LeaseTerms
from shared.domain.names import CredentialId
from shared.storage.spool import Lease, LeaseLost, Spool

log = structlog.get_logger()


class Keeper:
    """Renews every third of the lease time. Trust runs from when a renewal was asked for, not from its answer.

    `on_lost` is called when the lease is lost for good: it ran out, or its customer, credential or last domain is gone.
    """

    def __init__(
        self,
        spool: Spool,
        lease: Lease,
        credential_id: CredentialId,
        asked: Sequence[str],
        terms: LeaseTerms,
        clock: Clock,
        on_lost: Callable[[], None],
    ) -> None:
        self._spool = spool
        self._lease = lease
        self._credential_id = credential_id
        self._asked = frozenset(asked)
        self._terms = terms
        self._clock = clock
        self._trusted_until = 0.0
        self._domains: frozenset[str] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._on_lost = on_lost

    async def start(self) -> None:
        """Renews once, so that trust has a known beginning, and goes on by itself."""
        await self._renew()
        self._timer = self._loop.call_later(self._terms.renew_every.total_seconds(), self._due)

    @property
    def is_trusted(self) -> bool:
        """Whether the lease can still be counted on."""
        return self._clock.monotonic() < self._trusted_until

    def may_start(self, domain: str) -> bool:
        """Whether a message for this domain may be begun, or ended with its last octet, now."""
        return self.is_trusted and (self._domains is None or domain in self._domains)

    async def close(self) -> None:
        """Stops renewing."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _due(self) -> None:
        """A task only while a renewal is asked for: thousands of sessions do nothing between two."""
        self._task = asyncio.create_task(self._renew_again())

    async def _renew_again(self) -> None:
        began = self._loop.time()
        try:
            await self._renew()
        except LeaseLost:
            log.warning("lease.lost")
            self._trusted_until = 0.0
            self._on_lost()
            return
        except Exception as error:  # whatever it is, trust ends by itself, and the next renewal may succeed
            log.warning("lease.not_renewed", error=f"{type(error).__name__}: {error}")
        self._task = None
        self._timer = self._loop.call_at(began + self._terms.renew_every.total_seconds(), self._due)

    async def _renew(self) -> None:
        asked = self._clock.monotonic()
        self._domains = await self._spool.renew(self._lease, self._terms.time, self._credential_id)
        if not self._domains & self._asked:
            raise LeaseLost
        self._trusted_until = asked + self._terms.trust.total_seconds()
