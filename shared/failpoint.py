"""Faults on demand, for tests: `ODMR_FAILPOINT=inbound.after_commit=kill;odmr.dot=kill@3`.

An action is `kill` (SIGKILL to this process), `kill:PATH` (to the process whose id the file holds), `raise` (an OSError),
`raise:SECONDS` (one each time for so long) or `stop:SECONDS` (the whole process stands still), each with `@N` for the
N-th time that the point is passed. Without the variable a point costs one look-up.
A service's main arms it once; never set it in production.
"""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


class BadFailpoint(ValueError):
    """The setting does not read as points and actions."""


@dataclass(frozen=True, slots=True)
class _Action:
    verb: str
    argument: str
    at: int


def parse(text: str) -> dict[str, _Action]:
    """The points of a setting. Raises BadFailpoint."""
    actions: dict[str, _Action] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, found, action = part.partition("=")
        action, _, at = action.partition("@")
        verb, _, argument = action.partition(":")
        if not found or verb not in ("kill", "raise", "stop") or not (at or "1").isdigit():
            raise BadFailpoint(
                f"ODMR_FAILPOINT has {part!r}; write NAME=kill, NAME=kill:PIDFILE, NAME=raise, NAME=raise:SECONDS or "
                "NAME=stop:SECONDS, then @N"
            )
        actions[name] = _Action(verb, argument, int(at or "1"))
    return actions


_actions: dict[str, _Action] = {}
_passed: Counter[str] = Counter()
#: Until when a point raises each time.
_raising: dict[str, float] = {}


def arm(text: str) -> None:
    """Takes the setting; points that were passed before count anew. Raises BadFailpoint."""
    _actions.clear()
    _actions.update(parse(text))
    _passed.clear()
    _raising.clear()


def failpoint(name: str) -> None:
    """Marks a moment at which a test may want the world to end."""
    action = _actions.get(name)
    if action is None:
        return
    _passed[name] += 1
    if _passed[name] != action.at and time.monotonic() >= _raising.get(name, 0.0):
        return
    if action.verb == "raise":
        _raising.setdefault(name, time.monotonic() + float(action.argument or 0))
        raise OSError(f"failpoint {name}")
    if action.verb == "stop":
        time.sleep(float(action.argument))
        return
    pid = int(Path(action.argument).read_text().split()[0]) if action.argument else os.getpid()
    os.kill(pid, signal.SIGKILL)
