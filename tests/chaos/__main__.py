"""`make chaos`: the ledger whole, the seeded defects, and a session cut at every byte. Its last line is a summary."""

import argparse
import asyncio
import json
import logging
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.chaos.cuts import cut_everywhere
from tests.chaos.defects import DEFECTS, Defect, found
from tests.chaos.faults import DEPENDENCIES, MOMENTS, make_plan
from tests.chaos.run import Plan, Result, run

console = Console()
#: What line 1 of the issue asks for; kills beyond 200, since one that missed does not count.
MESSAGES, KILLS, FAULTS, RESTARTS = 20_000, 209, 40, 20
#: The short plan that a defect runs under: each thing that may show one, once or twice.
SHORT = [
    "kill inbound.before_commit", "connector killed", "kill odmr.data", "kill odmr.before_settle", "nats frozen", "connector killed",
    "postgres killed", "kill inbound.before_publish", "connector killed", "kill odmr.after_dot", "kill odmr.replied", "nats killed",
    "odmr frozen past its lease", "kill inbound.after_250",
    "inbound cannot store",
]  # fmt: skip


def main() -> int:
    """The command line."""
    words = argparse.ArgumentParser(prog="python -m tests.chaos")
    words.add_argument("--messages", type=int, default=MESSAGES)
    words.add_argument("--kills", type=int, default=KILLS)
    words.add_argument("--faults", type=int, default=FAULTS)
    words.add_argument("--restarts", type=int, default=RESTARTS)
    words.add_argument("--pace", type=float, default=1.0, help="scales every wait and time-out")
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--defective", action="store_true", help="a short run; prints what the checker says, as JSON")
    words.add_argument("--no-defects", action="store_true", help="the ledger alone")
    words.add_argument("--no-cuts", action="store_true", help="without the session that is cut at every octet")
    words.add_argument("--only-defects", action="store_true", help="the seeded defects alone")
    words.add_argument("--defect", action="append", metavar="WHAT", help="of these only that one; may be repeated")
    said = words.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it tells of each write to a line that a fault broke
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if said.defective:
        result = asyncio.run(run(Plan(600, SHORT, a_second=40.0, recovery=40.0, cut_every=100)))
        print(json.dumps([(one.rule, one.what) for one in result.violations[:5]]))
        return 0
    failed, summary = 0, []
    if not said.only_defects:
        plan = Plan(
            said.messages, make_plan(said.kills, said.faults, said.restarts, said.seed), pace=said.pace, seed=said.seed
        )
        result = _with_a_bar(plan)
        failed += len(result.violations)
        summary.append(_in_words(result, plan))
    if not said.no_defects:
        wanted = [defect for defect in DEFECTS if not said.defect or defect.what in said.defect]
        missed = _defects(wanted)
        failed += len(missed)
        summary.append(f"{len(wanted) - len(missed)} of {len(wanted)} seeded defects found")
    if not (said.no_cuts or said.only_defects):
        done, figures = cut_everywhere()
        counts = [int(number) for number in re.findall(r"a ledger: (\d+) cuts", figures)]
        failed += not done
        summary.append(f"{sum(counts):,} cuts of a session of three messages" if done else figures)
    print(("chaos: " if not failed else "chaos FAILED: ") + "; ".join(summary))
    return 1 if failed else 0


def _with_a_bar(plan: Plan) -> Result:
    columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("start", total=len(plan.faults))

        def tell(what: str, done: int, _all: int) -> None:
            progress.update(task, description=what, completed=done)

        return asyncio.run(run(plan, tell))


def _in_words(result: Result, plan: Plan) -> str:
    for one in result.violations[:20]:
        print(f"  {one.rule}: {one.what}")
    least = min((result.hits.get(moment, 0) for moment in MOMENTS), default=0)
    others = len([word for word in plan.faults if word in DEPENDENCIES])
    restarts = len([word for word in plan.faults if word.startswith("restart")])
    return (
        f"{result.acked:,} messages acknowledged, {sum(result.hits.values())} kills that hit (each of {len(MOMENTS)} moments at least "
        f"{least} times, {result.missed} missed), {others} dependency faults, {restarts} rolling restarts in {result.seconds:.0f} s: "
        f"{len(result.violations)} violations of L1 to L8, {result.copies} copies by rule, {result.notices} notices"
    )


def _defects(wanted: list[Defect]) -> list[str]:
    """Two at a time, since a run mostly waits; one that shows by chance alone has the machine to itself."""

    def look(defect: Defect) -> str:
        began = time.monotonic()
        rules = found(defect)
        words = rules[0] if rules else "NOT FOUND"
        print(f"  {defect.what:<40} {time.monotonic() - began:4.0f} s  {words}", flush=True)
        return "" if rules else defect.what

    with ThreadPoolExecutor(max_workers=2) as pool:
        missed = list(pool.map(look, [defect for defect in wanted if not defect.needs_quiet]))
    missed += [look(defect) for defect in wanted if defect.needs_quiet]
    return [what for what in missed if what]


if __name__ == "__main__":
    sys.exit(main())
