"""What every connection of this process shares; made once, by app."""

import asyncio
import contextlib
import ipaddress
import ssl
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from services.inbound.policy import MAX_BY_ADDRESS, MAX_CONNECTIONS, Check
from services.inbound.quotas import Quotas
from services.inbound.space import Space
from shared import metrics
from shared.clock import Clock
from shared.protocol.grammar import Path
from shared.protocol.reply import S421_TOO_MANY_CONNECTIONS, Reply
from shared.storage.accept import Acceptor
from shared.storage.hosted import HostedDomains
from shared.storage.uploads import Uploads


class Wakes(Protocol):
    """The bus as inbound needs it."""

    async def publish(self, subject: str, data: bytes = b"") -> None:
        """Says it; never raises for want of a server."""
        ...


class Connection(Protocol):
    """A connection as the set of them knows it."""

    def shut_down(self) -> None:
        """Come to an end soon."""
        ...


@dataclass(slots=True)
class Connections:
    """Who is connected: for the limits, and for the end."""

    all: set[Connection] = field(default_factory=set)
    by_address: Counter[str] = field(default_factory=Counter)
    is_stopping: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, connection: Connection, address: str) -> None:
        """It is here."""
        self.all.add(connection)
        metrics.INBOUND_CONNECTIONS.inc()
        metrics.INBOUND_ACTIVE.inc()
        self.by_address[address] += 1

    def remove(self, connection: Connection, address: str) -> None:
        """It is gone."""
        self.all.discard(connection)
        metrics.INBOUND_ACTIVE.dec()
        self.by_address[address] -= 1
        if self.by_address[address] <= 0:
            del self.by_address[address]
        self._changed.set()

    def refuse(self, address: str) -> Reply | None:
        """Why a connection that has just been added is one too many, or None. Loopback is bounded in all only."""
        if len(self.all) > MAX_CONNECTIONS:
            return S421_TOO_MANY_CONNECTIONS
        try:
            if ipaddress.ip_address(address.split("%")[0]).is_loopback:
                return None
        except ValueError:
            return None
        return S421_TOO_MANY_CONNECTIONS if self.by_address[address] > MAX_BY_ADDRESS else None

    def shut_down(self) -> None:
        """SIGTERM."""
        self.is_stopping = True
        for connection in list(self.all):
            connection.shut_down()

    async def ended(self, seconds: float) -> None:
        """Returns when all are gone, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.all:
                    self._changed.clear()
                    await self._changed.wait()


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts, by name."""

    hostname: str
    max_message: int
    acceptor: Acceptor
    uploads: Uploads
    hosted: HostedDomains
    quotas: Quotas
    bus: Wakes
    clock: Clock
    connections: Connections
    tls: ssl.SSLContext | None = None
    checks: tuple[Check, ...] = ()
    #: Content with a CR or LF alone is taken, each of them as CR LF.
    takes_bare_line_ends: bool = True
    #: Who gets mail for the bare <postmaster>.
    postmaster: Path | None = None
    space: Space = field(default_factory=Space)
