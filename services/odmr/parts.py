"""What every session of this process shares; made once, by app."""

import asyncio
import ssl
from dataclasses import dataclass

from services.odmr.authority import Authority
from services.odmr.limits import Limits
from services.odmr.wakeups import Wakeups
from shared.clock import Clock
from shared.domain.lease import LeaseTerms
from shared.protocol.provider import ProviderProfile
from shared.storage.sessions import Sessions
from shared.storage.spool import Spool


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts, by name."""

    profile: ProviderProfile
    authority: Authority
    spool: Spool
    sessions: Sessions
    wakeups: Wakeups
    clock: Clock
    terms: LeaseTerms
    limits: Limits
    tls: ssl.SSLContext | None
    #: Set on SIGTERM: start nothing new.
    stopping: asyncio.Event
