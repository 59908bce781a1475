"""`make show-4`: the HTTP API that a billing system integrates in an afternoon."""

import asyncio
import tempfile
from pathlib import Path

from localserve.layout import free_port
from tests.flows.live import running
from tests.flows.sender import Ledger, send_all
from tests.services.api.described import describe
from tests.services.outbound.strangers import names
from tests.show.billing import flow, killed
from tests.show.lines import Line, NotShown, main, pytest
from tests.show.serving import serving
from tests.show.tenants import times

SETTINGS = {"ODMR_API_REQUESTS_PER_SECOND": "0", "ODMR_WEBHOOK_ALLOW": "127.0.0.1:1"}
EXAMPLES = 1_000
#: A run keeps one core busy, so that three go side by side: what only reads and what changes, each with all its examples; and
#: fewer of all, where one operation's answer is the next one's question.
FUZZING = ("--phases", "examples,coverage,fuzzing")
RUNS = {
    "reading": (EXAMPLES, (*FUZZING, "--include-method", "GET")),
    "changing": (EXAMPLES, (*FUZZING, "--exclude-method", "GET")),
    "linked": (100, ()),
}
#: What DESCRIBED takes at most, in seconds.
MOST = 3_000
MESSAGES = 1_000


async def described() -> str:
    """schemathesis, all checks, an operator's key, links followed."""
    with tempfile.TemporaryDirectory() as folder:
        async with names({}) as dns, running(**SETTINGS, ODMR_DNS=dns) as provider:
            await send_all(provider.ports.smtp, ["one", "two"], Ledger(), 20)
            async with asyncio.TaskGroup() as runs:
                tasks = []
                for name, (examples, only) in RUNS.items():
                    own = Path(folder) / name
                    own.mkdir()
                    tasks.append(runs.create_task(describe(provider, own, examples, 1, MOST, only)))
    results = [task.result() for task in tasks]
    cases, failures = sum(one.cases for one in results), sum(one.failures for one in results)
    silent = frozenset.intersection(*(one.silent for one in results))
    operations = results[0].operations
    if failures or len(silent) > operations / 10:
        said = " ".join(one.text[-1500:] for one in results if one.failures)
        raise NotShown(f"{failures} failures in {cases:,} requests; silent: {sorted(silent)} {said}")
    linked = RUNS["linked"][0]
    return f"{cases:,} requests to {operations} operations, {EXAMPLES:,} examples each and {linked} more with links followed: no failure; {operations - len(silent)} answered 2xx"


async def tenancy() -> str:
    """Another tenant's objects, in the same time as what is not there; and addresses of inner networks."""
    last = pytest("tests/services/api/test_tenancy.py", "tests/services/api/test_webhooks.py")
    async with running(ODMR_API_REQUESTS_PER_SECOND="0") as provider:
        apart, distance = await times(provider)
    figure = f"{last}; denials of another's and of nobody's {abs(apart):.3f} ms apart at the median, Kolmogorov-Smirnov distance {distance:.1f} of what p = 0.01 tells apart"
    if distance >= 1:
        raise NotShown(figure)
    return figure


async def billing() -> str:
    """From the first payment to the last, each call repeated."""
    async with running() as provider:
        calls = await flow(provider)
    return f"{calls} calls; " + pytest("tests/flows/test_16_examples.py")


async def deaths() -> str:
    """Usage equals what the sink got; no webhook missing."""
    port = free_port()
    async with running(ODMR_WEBHOOK_ALLOW=f"127.0.0.1:{port}", ODMR_LEASE_SECONDS="3") as provider:
        return await killed(provider, port, MESSAGES)


LINES = [
    Line(
        1,
        "schemathesis, all checks, 1,000 examples an operation: no failure, nine of ten operations answer 2xx",
        described,
    ),
    Line(2, "every operation on another tenant's object is denied; every inner address is refused", tenancy),
    Line(3, "a billing flow by external id, each call repeated with its key and once with another body", billing),
    Line(
        4,
        "kill -9 of each service in the middle of 1,000 deliveries: usage is what the sink got, every webhook told",
        deaths,
    ),
    Line(5, "100 requests a second beside running mail: p99; lists at 1,000,000 messages go by index", serving),
]

if __name__ == "__main__":
    main(4, LINES)
