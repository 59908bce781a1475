"""Puts odmr together and runs it until told to stop."""

import asyncio

import structlog

from services.odmr.authority import Authority
from services.odmr.certified import CertifiedPort
from services.odmr.listener import Listener, bind
from services.odmr.parts import Parts
from services.odmr.session import Session
from services.odmr.settings import OdmrSettings
from services.odmr.wakeups import Wakeups
from shared.admin import admin_port
from shared.bus import subjects
from shared.bus.connection import Bus
from shared.clock import Clock
from shared.proxied import networks_of
from shared.storage.anchors import Anchors
from shared.storage.engine import answers, create_pool
from shared.storage.sessions import Sessions
from shared.storage.spool import Spool
from shared.tls import Stream, server_context_of

log = structlog.get_logger()


async def run(settings: OdmrSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then lets the sessions finish their message."""
    tls = server_context_of(settings.tls_certificate, settings.tls_key)
    plain = bind(settings.odmr_listen)
    secure = bind(settings.odmr_tls_listen) if settings.odmr_tls_listen else None
    certified = bind(settings.odmr_certificate_listen) if settings.odmr_certificate_listen else None
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

    listeners = [Listener(plain, serve)]
    if settings.odmr_proxy_listen:
        listeners.append(
            Listener(bind(settings.odmr_proxy_listen), serve, networks=networks_of(settings.proxy_networks))
        )
    if secure is not None:
        listeners.append(Listener(secure, serve, tls))
    if certified is not None and settings.tls_certificate is not None and settings.tls_key is not None:
        port = CertifiedPort(settings.tls_certificate, settings.tls_key, Anchors(pool))
        listeners.append(Listener(certified, serve, port.context, port.refresh))
    running = [asyncio.create_task(listener.run()) for listener in listeners]
    running.append(asyncio.create_task(wakeups.poll_for_ever(settings.poll_seconds)))
    running.append(asyncio.create_task(bus.subscribe(subjects.MAIL_QUEUED_ALL, wakeups.heard)))
    log.info("odmr.ready", listen=settings.odmr_listen, tls_listen=settings.odmr_tls_listen)

    async def is_ready() -> bool:
        return await answers(pool)

    async with admin_port(settings.admin_listen, stop, is_ready):
        await stop.wait()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await asyncio.gather(*(listener.drain(settings.drain_seconds) for listener in listeners))
    await bus.close()
    await pool.close()
