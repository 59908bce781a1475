"""Faults on demand, for tests: `ODMR_FAILPOINT=inbound.after_commit=kill;odmr.dot=kill@3`.

An action is `kill` (SIGKILL to this process) or `kill:PATH` (to the process whose id the file holds), `raise` (an
OSError), each with `@N` for the N-th time that the point is passed. Without the variable a point costs one look-up.
A service's main arms it once; never set it in production.
"""

import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


class BadFailpoint(ValueError):
    """The setting does not read as points and actions."""


@dataclass(frozen=True, slots=True)
class _Action:
    verb: str
    path: str
    at: int


def parse(text: str) -> dict[str, _Action]:
    """The points of a setting. Raises BadFailpoint."""
    actions: dict[str, _Action] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, found, action = part.partition("=")
        action, _, at = action.partition("@")
        verb, _, path = action.partition(":")
        if not found or verb not in ("kill", "raise") or not (at or "1").isdigit():
            raise BadFailpoint(
                f"ODMR_FAILPOINT has {part!r}; write NAME=kill, NAME=kill:PIDFILE or NAME=raise, then @N"
            )
        actions[name] = _Action(verb, path, int(at or "1"))
    return actions


_actions: dict[str, _Action] = {}
_passed: Counter[str] = Counter()


def arm(text: str) -> None:
    """Takes the setting; points that were passed before count anew. Raises BadFailpoint."""
    _actions.clear()
    _actions.update(parse(text))
    _passed.clear()


def failpoint(name: str) -> None:
    """Marks a moment at which a test may want the world to end."""
    action = _actions.get(name)
    if action is None:
        return
    _passed[name] += 1
    if _passed[name] != action.at:
        return
    if action.verb == "raise":
        raise OSError(f"failpoint {name}")
    pid = int(Path(action.path).read_text().split()[0]) if action.path else os.getpid()
    os.kill(pid, signal.SIGKILL)
