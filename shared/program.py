"""What every service's main does: settings, logs, failpoints, signals. A service is a coroutine that runs until told."""

import asyncio
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from shared import failpoint, observe
from shared.config import BadSettings, Settings, environment, load
from shared.storage.engine import UnsafeDatabase

S = TypeVar("S", bound=Settings)

#: Exit codes of sysexits.h: a setting is wrong; something needed is not there, try again.
EX_CONFIG: Final = 78
EX_TEMPFAIL: Final = 75


def main(
    name: str,
    kind: type[S],
    run: Callable[[S, asyncio.Event], Awaitable[None]],
    make_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Runs a service to its end, on asyncio's own loop or the one that is made for it.

    A wrong setting or a taken port is one sentence on stderr and an exit code.
    """
    try:
        settings = load(kind)
        failpoint.arm(environment().get("ODMR_FAILPOINT", ""))
    except (BadSettings, failpoint.BadFailpoint) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EX_CONFIG) from None
    observe.configure(name, settings.log_level)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (most, most)
    )  # a connection is a descriptor; the soft limit is for select()

    async def until_told() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run(settings, stop)

    try:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(until_told())
    except UnsafeDatabase as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EX_CONFIG) from None
    except OSError as error:
        sys.stderr.write(f"{name} cannot go on: {error}\n")
        raise SystemExit(EX_TEMPFAIL) from None
