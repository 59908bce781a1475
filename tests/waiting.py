"""Waiting for something to become true, with a deadline. No test sleeps for a time that it guessed."""

import asyncio
from collections.abc import Awaitable, Callable

_LOOK_EVERY = 0.02


async def lasts(seconds: float) -> None:
    """How long a fault or a pause of the experiment lasts. It waits for nothing to become true: that is `until`."""
    await asyncio.sleep(seconds)


async def until(is_true: Callable[[], Awaitable[bool]], seconds: float, what: str = "") -> None:
    """Returns when it is true. Fails when it is not in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await is_true():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or is_true.__name__}")
        await asyncio.sleep(_LOOK_EVERY)
