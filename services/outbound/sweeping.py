"""Runs the sweeps for ever. A round that fails is logged, and the next one tries again."""

import asyncio
from typing import Final

import structlog

from shared.failpoint import failpoint
from shared.storage.sweeps import ALL, BATCH, RESCUER, Sweep, Sweeper

log = structlog.get_logger()

#: The rescuer runs each round, since a customer may be waiting; the others need no haste.
ROUNDS: Final = 10


async def sweep_for_ever(sweeper: Sweeper, every: float) -> None:
    """Until cancelled."""
    turn = 0
    while True:
        for sweep in ALL:
            if sweep is RESCUER or turn % ROUNDS == 0:
                await run_to_the_end(sweeper, sweep)
        turn += 1
        await asyncio.sleep(every)


async def run_to_the_end(sweeper: Sweeper, sweep: Sweep) -> None:
    """Rounds of one sweep until one is not full."""
    try:
        moved = BATCH
        while moved == BATCH:
            moved = await sweeper.run(sweep)
            failpoint(f"outbound.{sweep.name}")
            if moved:
                log.info("sweep.moved", sweep=sweep.name, rows=moved)
    except Exception as error:
        log.warning("sweep.failed", sweep=sweep.name, error=f"{type(error).__name__}: {error}")
