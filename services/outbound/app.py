"""Puts outbound together and runs it until told to stop."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import structlog

from services.outbound import figures
from services.outbound.carrier import Carrier
from services.outbound.notifier import Notifier
from services.outbound.route import Router
from services.outbound.settings import OutboundSettings
from services.outbound.sweeping import sweep_for_ever
from shared.admin import admin_port
from shared.clock import Clock
from shared.domain.lease import LeaseTerms
from shared.resolve import Resolver
from shared.storage.engine import answers, create_pool
from shared.storage.spool import Spool
from shared.storage.sweeps import Sweeper
from shared.tls import opportunistic_context

log = structlog.get_logger()


async def run(settings: OutboundSettings, stop: asyncio.Event) -> None:
    """Sweeps, tells and carries until `stop` is set."""
    pool = await create_pool(settings.database_url, size=6)
    clock = Clock()
    networks = tuple(ipaddress.ip_network(word) for word in settings.mx_networks.split())
    carrier = Carrier(
        Spool(pool),
        Router(Resolver(settings.dns), settings.hostname, settings.smart_host, settings.mx_port, networks),
        clock,
        settings.hostname,
        LeaseTerms(timedelta(seconds=settings.lease_seconds)),
        opportunistic_context(),
    )
    notifier = Notifier(pool, clock, settings.hostname, settings.dsn_per_minute, settings.dsn_per_sender)
    tasks = (
        asyncio.create_task(sweep_for_ever(Sweeper(pool), settings.sweep_seconds)),
        asyncio.create_task(_for_ever("telling", notifier.tell, settings.outbound_seconds)),
        asyncio.create_task(_for_ever("carrying", carrier.carry, settings.outbound_seconds)),
        asyncio.create_task(_for_ever("counting", partial(figures.count, pool), figures.EVERY)),
    )
    log.info("outbound.ready")

    async def is_ready() -> bool:
        return await answers(pool)

    async with admin_port(settings.admin_listen, stop, is_ready):
        await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await carrier.close()
    await pool.close()


async def _for_ever(name: str, one_round: Callable[[], Awaitable[object]], every: float) -> None:
    """Until cancelled. A round that fails is logged, and the next one tries again."""
    while True:
        try:
            await one_round()
        except Exception as error:
            log.warning(f"{name}.failed", error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(every)
