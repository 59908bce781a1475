"""Puts inbound together and runs it until told to stop."""

import asyncio

import structlog

from services.inbound.parts import Connections, Parts
from services.inbound.proxied import ProxiedPort
from services.inbound.quotas import Quotas
from services.inbound.server import InboundConnection, factory
from services.inbound.settings import InboundSettings
from services.inbound.space import Space
from shared import tracing
from shared.admin import admin_port
from shared.bus.connection import Bus
from shared.certificate import certificate_of
from shared.clock import Clock
from shared.listening import BACKLOG, bind
from shared.proxied import networks_of
from shared.storage.accept import Acceptor
from shared.storage.engine import answers, create_pool
from shared.storage.hosted import HostedDomains
from shared.storage.uploads import Uploads

log = structlog.get_logger()

#: Connections that are accepted before those that are open get their turn again, so that a burst delays nobody.
ACCEPT_AT_ONCE = 8


async def run(settings: InboundSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then lets transactions come to their reply."""
    tracing.start("inbound", settings.otlp_endpoint, settings.trace_ratio)
    certificate = certificate_of(settings.tls_certificate, settings.tls_key)
    pool = await create_pool(settings.database_url, plans_once=True)
    acceptor = Acceptor(pool)
    acceptor.start()
    bus = Bus(settings.nats_url, "inbound")
    bus.start()
    connections = Connections()
    hosted, clock = HostedDomains(pool, only_verified=settings.only_verified_domains), Clock()
    space = Space(settings.disk_path, settings.min_free_bytes, settings.max_database_bytes)
    parts = Parts(
        hostname=settings.hostname,
        max_message=settings.max_message_bytes,
        acceptor=acceptor,
        uploads=Uploads(pool),
        hosted=hosted,
        quotas=Quotas(hosted, clock),
        bus=bus,
        clock=clock,
        connections=connections,
        tls=certificate.context() if certificate is not None else None,
        takes_bare_line_ends=settings.bare_line_ends == "normalize",
        postmaster=settings.postmaster_path,
        space=space,
    )
    loop = asyncio.get_running_loop()
    sock = bind(settings.smtp_listen)
    server = await loop.create_server(factory(parts), sock=sock, backlog=ACCEPT_AT_ONCE)
    sock.listen(BACKLOG)  # asyncio takes one number for the kernel's queue and for how many it accepts in a row
    running = [asyncio.create_task(space.watch(pool))]
    if settings.smtp_proxy_listen:
        running.append(asyncio.create_task(_proxied(settings, parts).run()))
    if certificate is not None:
        running.append(asyncio.create_task(certificate.follow()))
    log.info("inbound.ready", listen=settings.smtp_listen, proxy_listen=settings.smtp_proxy_listen)

    async def is_ready() -> bool:
        return not space.is_low and await answers(pool)

    async with admin_port(settings.admin_listen, stop, is_ready):
        await stop.wait()
    server.close()
    for task in running:
        task.cancel()
    connections.shut_down()
    await connections.ended(settings.drain_seconds)
    await acceptor.close()
    await bus.close()
    await pool.close()
    await asyncio.to_thread(tracing.stop)


def _proxied(settings: InboundSettings, parts: Parts) -> ProxiedPort:
    """Bound: a port that is taken ends the service, as for the other one."""
    networks = networks_of(settings.proxy_networks)
    return ProxiedPort(bind(settings.smtp_proxy_listen), networks, lambda client: InboundConnection(parts, client))
