"""One connection up to the turn: drives ProviderConnection, asks auth, leases before it says 250. RFC 2645 5."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, assert_never

import structlog

from services.odmr.authority import Channel, Identity
from services.odmr.delivery import Delivery
from services.odmr.parts import Parts
from shared import metrics, observe, tracing
from shared.domain.lease import LEASE_BATCH
from shared.domain.message import LeasedRecipient
from shared.domain.names import LeaseId, SessionId
from shared.failpoint import failpoint
from shared.protocol import reply as r
from shared.protocol.events import (
    AuthStep,
    Counted,
    CountRequested,
    Ended,
    Granted,
    ProviderAnswer,
    Refuse,
    Say,
    Shutdown,
    StartTls,
    Turn,
    TurnRequested,
    Waiting,
)
from shared.protocol.provider import ProviderConnection
from shared.protocol.sasl.transcript import Transcript
from shared.protocol.states import State
from shared.storage.sessions import TurnedSession
from shared.storage.spool import Lease
from shared.tls import Stream

log = structlog.get_logger()

#: Seconds for a reply to be taken.
WRITE_TIME: Final = 60.0
#: Seconds between two looks while another session's lease is waited out.
LOOK_EVERY: Final = 0.2
#: Seconds behind the end of an old lease in which the rescuer gives its mail back.
RESCUE_TIME: Final = 5.0


@dataclass(slots=True)
class _Turning:
    """What ATRN found."""

    lease: Lease
    domains: tuple[str, ...]
    rows: list[LeasedRecipient]


class Session:
    """Runs once."""

    def __init__(self, stream: Stream, peer: str, parts: Parts) -> None:
        self._stream = stream
        self._peer = peer
        self._parts = parts
        self._id = SessionId(parts.clock.new_id())
        self._is_implicit_tls = stream.is_tls
        self._certificate = stream.peer_certificate_sha256
        self._machine = ProviderConnection(
            parts.profile, under_tls=stream.is_tls, has_certificate=bool(self._certificate)
        )
        self._identity: Identity | None = None
        self._turning: _Turning | None = None
        self._said_live = False
        self._has_turned = False
        self._wants_ids = False

    async def run(self) -> None:
        """From the greeting to the end, the turn and its mail included. Raises OSError and TimeoutError as they come."""
        metrics.SESSIONS_ACTIVE.inc()
        with metrics.SESSION_DURATION.time():
            try:
                await self._run()
            finally:
                metrics.SESSIONS_ACTIVE.dec()
                metrics.SESSIONS.labels("turned" if self._has_turned else "not_turned").inc()

    async def _run(self) -> None:
        observe.bind(session_id=str(self._id))
        log.info("session.started", peer=self._peer, tls=self._stream.is_tls)
        async with asyncio.timeout(self._parts.limits.login):
            await self._write(self._machine.greeting())
            while self._machine.state is not State.TURNED:
                event = self._machine.next_event()
                match event:
                    case Say(data, why):
                        log.debug("session.said", why=why)
                        await self._write(data)
                    case StartTls(data):
                        await self._start_tls(data)
                    case AuthStep(transcript):
                        await self._answer(await self._verify(transcript))
                    case CountRequested():
                        await self._answer(await self._count())
                    case TurnRequested(domains, is_live, wants_ids):
                        self._said_live, self._wants_ids = is_live, wants_ids
                        await self._turn(domains)
                    case Ended(why):
                        log.info("session.ended", why=why)
                        return
                    case Waiting():
                        await self._read()
                    case _:
                        assert_never(event)
        await self._deliver()

    async def _verify(self, transcript: Transcript) -> ProviderAnswer:
        channel = Channel(self._id, self._peer, self._stream.is_tls, self._certificate)
        verdict = await self._parts.authority.verify(transcript, channel)
        if isinstance(verdict, Identity):
            self._identity = verdict
            observe.bind(customer_id=str(verdict.customer_id))
            return Granted()
        return verdict

    async def _count(self) -> ProviderAnswer:
        assert self._identity is not None
        try:
            return Counted(*await self._parts.spool.count(self._identity.customer_id, self._identity.domains))
        except Exception:
            log.exception("count.unavailable")
            return Refuse(r.S451_LOCAL_TROUBLE)

    # --- the turn -----------------------------------------------------------------------------------------------------

    async def _turn(self, asked: tuple[str, ...]) -> None:
        try:
            answer = await self._decide(asked)
        except Exception:
            log.exception("turn.unavailable")
            await self._give_back()
            answer = Refuse(r.S451_CANNOT_TURN)  # RFC 2645 5.2.1
        except BaseException:  # told to end while it waited for another session's lease
            await asyncio.shield(asyncio.ensure_future(self._give_back()))
            raise
        metrics.ATRN.labels(_result(answer)).inc()
        try:
            await self._answer(answer)
        except BaseException:
            await self._give_back()
            raise
        if self._machine.state is not State.TURNED:
            await self._give_back()

    async def _decide(self, asked: tuple[str, ...]) -> ProviderAnswer:
        identity = self._identity
        assert identity is not None
        domains = identity.resolve(asked)
        if domains is None:
            log.info("turn.refused", asked=asked[:10])
            return Refuse(r.S450_NOT_YOURS)
        if not await self._parts.sessions.may_ask(identity.credential_id, self._parts.limits.atrn_interval):
            log.info("turn.too_often", credential_id=str(identity.credential_id))
            return Refuse(r.S450_TOO_OFTEN)
        lease = Lease(LeaseId(self._parts.clock.new_id()), self._id, identity.customer_id)
        self._turning = _Turning(lease, domains, [])
        if not await self._parts.spool.open_lease(lease, self._parts.terms.time, self._parts.limits.sessions):
            log.info("turn.too_many_sessions")
            return Refuse(r.S450_TOO_MANY_SESSIONS)
        waits_until: float | None = None
        while True:
            rows = await self._parts.spool.lease(lease, domains, LEASE_BATCH, with_back_off=True)
            if rows or self._said_live or identity.when_empty != "refuse":
                self._turning.rows = rows
                return Turn()
            held = await self._parts.spool.held_by_others(lease, domains)
            if held is None:
                return Refuse(r.S453_NO_MAIL)
            now = self._parts.clock.monotonic()
            waits_until = waits_until or now + self._wait(held)
            if now >= waits_until or self._parts.stopping.is_set():
                return Refuse(r.S450_BUSY)
            await asyncio.sleep(LOOK_EVERY)
            await self._parts.spool.renew(lease, self._parts.terms.time, identity.credential_id)

    def _wait(self, held: timedelta) -> float:
        return max(0.0, held.total_seconds()) + RESCUE_TIME

    async def _give_back(self) -> None:
        turning, self._turning = self._turning, None
        if turning is not None:
            try:
                await self._parts.spool.close_lease(turning.lease)
            except Exception:
                log.exception("lease.not_closed")  # the rescuer will

    async def _deliver(self) -> None:
        assert self._identity is not None
        failpoint("odmr.turned")
        self._has_turned = True
        delivery, customer_id = self._delivery(self._identity), self._identity.customer_id
        # What led here is not needed for the hours that a live session may last.
        self._turning = None
        del self._machine
        span = tracing.first(self._id, "odmr.session")
        try:
            await delivery.run()
        finally:
            tracing.end(span, odmr__customer_id=str(customer_id))

    def _delivery(self, identity: Identity) -> Delivery:
        turning = self._turning
        assert turning is not None
        is_live = self._said_live or identity.when_empty == "live"
        log.info("session.turned", domains=turning.domains, tls=self._stream.is_tls, live=is_live)
        record = TurnedSession(
            self._id,
            identity.customer_id,
            identity.credential_id,
            self._peer,
            self._stream.is_tls,
            identity.mechanism,
            turning.domains,
            is_live,
        )
        return Delivery(
            self._stream,
            self._parts,
            record,
            turning.lease,
            turning.rows,
            # who knows XODMR is no fetchmail
            line_a_record=self._is_implicit_tls and not (self._said_live or self._wants_ids),
            is_live=is_live,
            says_ids=self._wants_ids,
        )

    # --- the line -----------------------------------------------------------------------------------------------------

    async def _answer(self, answer: ProviderAnswer) -> None:
        await self._write(self._machine.send(answer))

    async def _start_tls(self, ready: bytes) -> None:
        assert self._parts.tls is not None
        await self._write(ready)
        async with asyncio.timeout(WRITE_TIME):
            await self._stream.start_tls(self._parts.tls, server_side=True)
        self._machine.tls_started()
        self._identity = None

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(WRITE_TIME):
            await self._stream.write(data)

    async def _read(self) -> None:
        read = asyncio.ensure_future(self._stream.read())
        stop = asyncio.ensure_future(self._parts.stopping.wait())
        try:
            await asyncio.wait({read, stop}, timeout=self._parts.limits.idle, return_when=asyncio.FIRST_COMPLETED)
            if read.done():
                self._machine.receive_data(read.result())
            else:
                reply = r.S421_SHUTTING_DOWN if stop.done() else r.S421_IDLE
                await self._answer(Shutdown(reply))
        finally:
            for task in (read, stop):
                task.cancel()
            await asyncio.gather(read, stop, return_exceptions=True)


def _result(answer: ProviderAnswer) -> str:
    match answer:
        case Turn():
            return "turned"
        case Refuse(reply) if reply == r.S453_NO_MAIL:
            return "no_mail"
        case Refuse(reply) if reply == r.S451_CANNOT_TURN:
            return "unavailable"
        case _:
            return "refused"
