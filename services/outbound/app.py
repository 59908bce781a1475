"""Puts outbound together and runs it until told to stop."""

import asyncio
import contextlib

import structlog

from services.outbound.settings import OutboundSettings
from services.outbound.sweeping import sweep_for_ever
from shared.admin import admin_port
from shared.storage.engine import answers, create_pool
from shared.storage.sweeps import Sweeper

log = structlog.get_logger()


async def run(settings: OutboundSettings, stop: asyncio.Event) -> None:
    """Sweeps until `stop` is set."""
    pool = await create_pool(settings.database_url, size=2)
    sweeping = asyncio.create_task(sweep_for_ever(Sweeper(pool), settings.sweep_seconds))
    log.info("outbound.ready")

    async def is_ready() -> bool:
        return await answers(pool)

    async with admin_port(settings.admin_listen, stop, is_ready):
        await stop.wait()
    sweeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sweeping
    await pool.close()
