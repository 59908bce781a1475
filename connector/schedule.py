"""When to call: once, or again and again."""

import asyncio
import sys
from dataclasses import replace
from typing import Final

from connector.dial import Line, dial
from connector.figures import Figures
from connector.handoff import LocalServer, join, probe
from connector.ledger import Ledger
from connector.outcome import Exit, Outcome
from connector.pauses import Pauses
from connector.relaying import relay
from connector.settings import Settings

#: So few replies are next to nothing, and so many such calls in a row are the last.
SMALL_BATCH: Final = 100
MAX_SMALL_BATCHES: Final = 3


async def call_once(settings: Settings) -> Outcome:
    """Calls until nothing waits: again and again only where the local server takes some mail a connection (Exim: 1,000).

    A server that again and again takes next to nothing is left alone: what looked like mail taken was none.
    """
    small = 0
    while True:
        outcome = await _call(settings)
        if not outcome.batch:
            return outcome
        small = small + 1 if outcome.batch < SMALL_BATCH else 0
        if small > MAX_SMALL_BATCHES:
            return replace(outcome, exit=Exit.CUT, taken=0)


async def _call(settings: Settings) -> Outcome:
    """One call: the local server first, then the provider."""
    local = await probe(settings.deliver)
    if isinstance(local, Outcome):
        return local
    try:
        line = await dial(settings)
    except BaseException:  # told to end
        await local.way.close()
        raise
    if isinstance(line, Outcome):
        await local.way.close()
        return line
    outcome = await join(line, local) if settings.mode == "pipe" else await _relay(settings, line, local)
    return replace(outcome, was_live=line.is_live)


async def _relay(settings: Settings, line: Line, local: LocalServer) -> Outcome:
    domains = {name.lower() for name in settings.domains}
    ledger = Ledger(settings.ledger) if settings.ledger is not None else None
    try:
        return await relay(line, local, ledger, lambda domain: not domains or domain in domains)
    finally:
        if ledger is not None:
            ledger.close()


async def call_for_ever(settings: Settings) -> Outcome:
    """Calls until the secret is refused: asking again with it would only lock us out."""
    pauses, clock = Pauses(settings.every), asyncio.get_running_loop()
    figures = Figures(settings.metrics_file)
    while True:
        began = clock.time()
        outcome = await call_once(settings)
        tell(outcome)
        figures.count(outcome)
        if outcome.exit in (Exit.AUTH_WRONG, Exit.TLS_FAILED):
            return outcome
        await asyncio.sleep(pauses.after(outcome, clock.time() - began))


def tell(outcome: Outcome) -> None:
    """One line on stderr."""
    moved = f" ({outcome.to_local} octets received)" if outcome.to_local else ""
    print(f"odmr-connector: {outcome.text}{moved}", file=sys.stderr, flush=True)
