"""Puts outbound together and runs it until told to stop."""

import asyncio
import contextlib

import structlog

from services.outbound.settings import OutboundSettings
from services.outbound.sweeping import sweep_for_ever
from shared.storage.engine import create_pool
from shared.storage.sweeps import Sweeper

log = structlog.get_logger()


async def run(settings: OutboundSettings, stop: asyncio.Event) -> None:
    """Sweeps until `stop` is set."""
    pool = await create_pool(settings.database_url, size=2)
    sweeping = asyncio.create_task(sweep_for_ever(Sweeper(pool), settings.sweep_seconds))
    log.info("outbound.ready")
    await stop.wait()
    sweeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sweeping
    await pool.close()
