"""Puts inbound together and runs it until told to stop."""

import asyncio
import socket

import structlog

from services.inbound.parts import Connections, Parts
from services.inbound.proxied import ProxiedPort
from services.inbound.quotas import Quotas
from services.inbound.server import InboundConnection, factory
from services.inbound.settings import InboundSettings
from services.inbound.space import Space
from shared.admin import admin_port
from shared.bus.connection import Bus
from shared.clock import Clock
from shared.proxied import networks_of
from shared.storage.accept import Acceptor
from shared.storage.engine import answers, create_pool
from shared.storage.hosted import HostedDomains
from shared.storage.uploads import Uploads
from shared.tls import server_context_of

log = structlog.get_logger()

#: Connections that wait to be accepted.
BACKLOG = 1_024
#: Connections that are accepted before those that are open get their turn again, so that a burst delays nobody.
ACCEPT_AT_ONCE = 8


async def run(settings: InboundSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then lets transactions come to their reply."""
    host, _, port = settings.smtp_listen.rpartition(":")
    pool = await create_pool(settings.database_url)
    acceptor = Acceptor(pool)
    acceptor.start()
    bus = Bus(settings.nats_url, "inbound")
    bus.start()
    connections = Connections()
    hosted, clock = HostedDomains(pool, only_verified=settings.only_verified_domains), Clock()
    space = Space(settings.disk_path, settings.min_free_bytes, settings.max_database_bytes)
    watching = asyncio.create_task(space.watch(pool))
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
        tls=server_context_of(settings.tls_certificate, settings.tls_key),
        postmaster=settings.postmaster_path,
        space=space,
    )
    loop = asyncio.get_running_loop()
    sock = _bind(host.strip("[]"), int(port))
    server = await loop.create_server(factory(parts), sock=sock, backlog=ACCEPT_AT_ONCE)
    sock.listen(BACKLOG)  # asyncio takes one number for the kernel's queue and for how many it accepts in a row
    proxied = asyncio.create_task(_proxied(settings, parts).run()) if settings.smtp_proxy_listen else None
    log.info("inbound.ready", listen=settings.smtp_listen, proxy_listen=settings.smtp_proxy_listen)

    async def is_ready() -> bool:
        return not space.is_low and await answers(pool)

    async with admin_port(settings.admin_listen, stop, is_ready):
        await stop.wait()
    server.close()
    watching.cancel()
    if proxied is not None:
        proxied.cancel()
    connections.shut_down()
    await connections.ended(settings.drain_seconds)
    await acceptor.close()
    await bus.close()
    await pool.close()


def _proxied(settings: InboundSettings, parts: Parts) -> ProxiedPort:
    """Bound: a port that is taken ends the service, as for the other one."""
    host, _, port = settings.smtp_proxy_listen.rpartition(":")
    sock = _bind(host.strip("[]"), int(port))
    sock.listen(BACKLOG)
    sock.setblocking(False)
    networks = networks_of(settings.proxy_networks)
    return ProxiedPort(sock, networks, lambda client: InboundConnection(parts, client))


def _bind(host: str, port: int) -> socket.socket:
    """By its protocol's number, without which asyncio sets no TCP_NODELAY on what is accepted."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return sock
