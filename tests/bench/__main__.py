"""`make bench`: measures, and writes the table in docs/performance.md anew."""

import asyncio
import re

from localserve.provider import HERE
from shared.clock import Clock
from tests.bench.inbound import ROUNDS, Figure, measure

PERFORMANCE = HERE / "docs" / "performance.md"
BEGIN, END = "<!-- make bench -->", "<!-- /make bench -->"


def table(figures: list[Figure]) -> str:
    """The figures as Markdown."""
    rows = "".join(
        f"| {one.case} | {one.ours:,.0f} | {one.peer:,.0f} | {one.ratio:.2f} | {one.case.goal or ''} |\n"
        for one in figures
    )
    return (
        f"{BEGIN}\n`make bench`, {Clock().now():%Y-%m-%d}: durable messages a second, inbound and Postfix 3.7 in turn, medians of "
        f"{ROUNDS}.\n\n| case | ours | Postfix | ratio | goal |\n|---|---|---|---|---|\n{rows}{END}"
    )


def main() -> None:
    """Runs it."""
    text = table(asyncio.run(measure()))
    old = PERFORMANCE.read_text()
    PERFORMANCE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: text, old, flags=re.DOTALL))


if __name__ == "__main__":
    main()
