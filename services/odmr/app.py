"""Puts odmr together and runs it until told to stop."""

import asyncio

import structlog

from services.odmr.authority import Authority
from services.odmr.certified import CertifiedPort
from services.odmr.listener import Listener, Serve
from services.odmr.parts import Parts
from services.odmr.session import Session
from services.odmr.settings import OdmrSettings
from services.odmr.wakeups import Wakeups
from shared import tracing
from shared.admin import admin_port
from shared.bus import subjects
from shared.bus.connection import Bus
from shared.certificate import Certificate, certificate_of
from shared.clock import Clock
from shared.listening import bind
from shared.proxied import networks_of
from shared.storage.anchors import Anchors
from shared.storage.engine import answers, create_pool
from shared.storage.sessions import Sessions
from shared.storage.spool import Spool
from shared.tls import Stream

log = structlog.get_logger()


async def run(settings: OdmrSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then lets the sessions finish their message."""
    tracing.start("odmr", settings.otlp_endpoint, settings.trace_ratio)
    certificate = certificate_of(settings.tls_certificate, settings.tls_key)
    tls = certificate.context() if certificate is not None else None
    pool = await create_pool(settings.database_url)
    bus = Bus(settings.nats_url, "odmr")
    bus.start()
    spool = Spool(pool)
    wakeups = Wakeups(spool)
    parts = Parts(
        profile=settings.profile(has_starttls=tls is not None),
        authority=Authority(bus),
        spool=spool,
        wakeups=wakeups,
        sessions=Sessions(pool),
        clock=Clock(),
        terms=settings.lease_terms,
        limits=settings.limits,
        tls=tls,
        stopping=stop,
    )

    async def serve(stream: Stream, peer: str) -> None:
        await Session(stream, peer, parts).run()

    listeners = _listeners(settings, certificate, Anchors(pool), serve)
    running = [asyncio.create_task(listener.run()) for listener in listeners]
    if certificate is not None:
        running.append(asyncio.create_task(certificate.follow()))
    running.append(asyncio.create_task(wakeups.poll_for_ever(settings.poll_seconds)))
    running.append(asyncio.create_task(bus.subscribe(subjects.MAIL_QUEUED_ALL, wakeups.heard)))
    log.info("odmr.ready", listen=settings.odmr_listen, tls_listen=settings.odmr_tls_listen)

    async def is_ready() -> bool:
        return await answers(pool)

    async with admin_port(settings.admin_listen, stop, is_ready):
        await stop.wait()
    wakeups.wake_all()  # to leave
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await asyncio.gather(*(listener.drain(settings.drain_seconds) for listener in listeners))
    await bus.close()
    await pool.close()
    await asyncio.to_thread(tracing.stop)


def _listeners(
    settings: OdmrSettings, certificate: Certificate | None, anchors: Anchors, serve: Serve
) -> list[Listener]:
    """Each port, and the same for balancers. Raises OSError when one is taken."""
    balancers = networks_of(settings.proxy_networks)
    made = [Listener(bind(settings.odmr_listen), serve)]
    if settings.odmr_proxy_listen:
        made.append(Listener(bind(settings.odmr_proxy_listen), serve, networks=balancers))
    if certificate is not None:
        tls, asking = certificate.context(), CertifiedPort(certificate.context(), anchors)
        for listen, networks in ((settings.odmr_tls_listen, None), (settings.odmr_tls_proxy_listen, balancers)):
            if listen:
                made.append(Listener(bind(listen), serve, tls, networks=networks))
        for listen, networks in (
            (settings.odmr_certificate_listen, None),
            (settings.odmr_certificate_proxy_listen, balancers),
        ):
            if listen:
                made.append(Listener(bind(listen), serve, asking.context, asking.refresh, networks))
    return made
