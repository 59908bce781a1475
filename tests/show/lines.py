"""A line of "What it must show": the words, how it is shown, and the last figure, kept in docs/shown.md."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rich.console import Console

from localserve.provider import HERE
from shared.clock import Clock

SHOWN = HERE / "docs" / "shown.md"
HEAD = """# What is shown

Written by `make show-N`, which runs each line of an issue's list. A figure is of the machine that ran it: 2 cores, Debian 12.

| issue | line | what | command | last figure |
|---|---|---|---|---|
"""
console = Console()


class NotShown(Exception):
    """The line does not hold; the text says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `show` gives the figure, or raises NotShown."""

    number: int
    words: str
    show: Callable[[], Awaitable[str]]


def pytest(*arguments: str) -> str:
    """Runs tests; gives pytest's last line. Raises NotShown when they fail, or when some were skipped."""
    done = subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=HERE, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines() or [done.stderr[-300:]]
    last = lines[-1]
    if done.returncode or "skipped" in last:
        raise NotShown("; ".join([last, *(line for line in lines if line.startswith(("FAILED", "ERROR", "SKIPPED")))]))
    return last


def run(*command: str, cwd: str, env: dict[str, str] | None = None, uid: int | None = None) -> tuple[float, str]:
    """Runs a command; gives its seconds and its last line. Raises NotShown when it fails."""
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
    )
    if done.returncode:
        raise NotShown(f"`{' '.join(command)}` ended with {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
    lines = [line for line in done.stdout.strip().splitlines() if line.strip()]
    return time.monotonic() - began, lines[-1] if lines else ""


async def show(issue: int, lines: list[Line], only: list[int]) -> int:
    """Runs the lines, prints pass or the reason, and writes what was found down; gives the exit code."""
    failed = 0
    for line in lines:
        if only and line.number not in only:
            continue
        console.print(f"[bold]{issue}.{line.number}[/bold] {line.words}")
        try:
            figure = await line.show()
            console.print(f"    [green]pass[/green]: {figure}")
        except NotShown as error:
            figure, failed = f"not yet: {error}", failed + 1
            console.print(f"    [red]{figure}[/red]")
        _write(issue, line, figure)
    return 1 if failed else 0


def _write(issue: int, line: Line, figure: str) -> None:
    text = SHOWN.read_text() if SHOWN.is_file() else ""
    rows = dict(re.findall(r"^\| (\d+ \| \d+) \| (.*)\|$", text, re.MULTILINE))
    clean = re.sub(r"\s+", " ", figure).replace("|", "/")[:400]
    rows[f"{issue} | {line.number}"] = (
        f"{line.words} | `make show-{issue} LINE={line.number}` | {Clock().now():%Y-%m-%d}: {clean} "
    )
    ordered = sorted(rows.items(), key=lambda row: [int(part) for part in row[0].split(" | ")])
    SHOWN.write_text(HEAD + "".join(f"| {key} | {row}|\n" for key, row in ordered))


def main(issue: int, lines: list[Line]) -> None:
    """`python -m tests.show.one [LINE ...]`."""
    raise SystemExit(asyncio.run(show(issue, lines, [int(word) for word in sys.argv[1:]])))
