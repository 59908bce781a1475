"""Child processes: started with their parent's death in mind, logged to a file, and started again when they die.

Ends only what it started, by process id.
"""

import asyncio
import contextlib
import ctypes
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from localserve.layout import CannotStart, Layout

#: prctl(2): a signal to this process when its parent dies, so that a kill -9 of ours leaves nothing running.
PR_SET_PDEATHSIG: Final = 1
#: EX_CONFIG: starting again would fail again.
EX_CONFIG: Final = 78
RESTART_FIRST: Final = 0.1
RESTART_MAX: Final = 2.0
#: Seconds between SIGTERM and SIGKILL.
STOP_TIME: Final = 20.0


@dataclass(slots=True)
class Program:
    """What to run. `first_env` is added to the environment of the first start only (failpoints)."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    uid: int | None = None
    gid: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    cwd: Path | None = None
    first_env: Mapping[str, str] = field(default_factory=dict)


class Child:
    """One program, kept running until `stop`."""

    def __init__(self, program: Program, layout: Layout, on_fatal: Callable[[str], None]) -> None:
        self._program = program
        self._layout = layout
        self._on_fatal = on_fatal
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False
        #: How often it was started.
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Starts it, and from now on whenever it ends."""
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Tells it to end, waits, and insists."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self._program.stop_signal)
            try:
                async with asyncio.timeout(STOP_TIME):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        self._layout.pid_file(self._program.name).unlink(missing_ok=True)

    async def _spawn(self) -> None:
        program = self._program
        env = {**program.env, **(program.first_env if not self.starts else {})}
        with self._layout.log(program.name).open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *program.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=env,
                    cwd=program.cwd,
                    user=program.uid,
                    group=program.gid,
                    extra_groups=None if program.uid is None else [],
                    start_new_session=True,  # Ctrl-C is for us, and we end our children in order
                    preexec_fn=_dies_with_parent(program.death_signal),
                )
            except OSError as error:
                raise CannotStart(f"{program.name} cannot be started: {error}") from None
        self.starts += 1
        self._layout.pid_file(program.name).write_text(f"{self._process.pid}\n")

    async def _keep(self) -> None:
        pause = RESTART_FIRST
        while True:
            assert self._process is not None
            began = asyncio.get_running_loop().time()
            code = await self._process.wait()
            if self._stopping:
                return
            if code == EX_CONFIG:
                self._on_fatal(f"{self._program.name}: {last_line(self._layout.log(self._program.name))}")
                return
            pause = RESTART_FIRST if asyncio.get_running_loop().time() - began > 5 else min(pause * 2, RESTART_MAX)
            await asyncio.sleep(pause)
            await self._spawn()


def _dies_with_parent(number: signal.Signals) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def set_signal() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)

    return set_signal


def last_line(path: Path) -> str:
    """The last line of a log that has words in it."""
    if not path.is_file():
        return "it left no log"
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
