"""`make show-2`: the whole chain, part by part to its depth."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from localserve.provider import HERE
from services.api.errors import CODES
from tests.checks.test_settings import BAD
from tests.connector.test_settings import BAD_FILES, BAD_WORDS, LACKING
from tests.flows import test_06_many as many
from tests.flows.live import running
from tests.flows.test_04_command_line import EXITS
from tests.interop.servers import exim, postfix
from tests.interop.test_customers_servers import fetch_into
from tests.interop.test_peers import fetch_with_fetchmail
from tests.protocol.dialogue import all_dialogues
from tests.show.lines import Line, NotShown, main, pytest
from tests.show.measuring import MIB, atrn_beside, denials, frozen, growth, live_customer, median_and_worst, pushes

FETCHED = 500
CROWD = 1_000_000
BIG = 50 * MIB
MOST_GROWTH = 32 * MIB
#: Milliseconds, milliseconds, seconds. RELIABILITY T6.
MOST_APART = 0.5
MOST_PUSH = 100.0
POLL = 10.0


async def statements() -> str:
    """`make test` counts them itself; and what a figure belongs to is measured here."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "--ignore=tests/compose", "--statements"],
        cwd=HERE, capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"^statements: (.*)$", done.stdout, re.MULTILINE)
    last = done.stdout.strip().splitlines()[-1]
    if done.returncode or not found:
        failed = ", ".join(re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE))
        raise NotShown(f"{found[1] if found else 'no statements counted'}; {last}; {failed}")
    async with running() as provider:
        seconds = await atrn_beside(provider, CROWD)
        apart, ratio = await denials(provider)
    if seconds >= 1.5:  # R38 has one second for ATRN; a call is a process, a handshake and a login, too
        raise NotShown(f"R38: a call takes {seconds:.2f} s beside {CROWD:,} messages of others")
    if apart > MOST_APART:
        raise NotShown(f"R5: the medians of a known and an unknown name are {apart:.3f} ms apart")
    return (
        f"{found[1]}; {last}; a whole call of the connector beside {CROWD:,} messages of others {seconds * 1000:.0f} ms; "
        f"denials of known and unknown names {apart:.3f} ms apart at the median, Kolmogorov-Smirnov distance {ratio:.1f} of "
        f"what p = 0.01 tells apart"
    )


async def peers() -> str:
    """fetchmail over implicit TLS; the connector into Postfix and Exim; two connectors at once."""
    with tempfile.TemporaryDirectory() as folder:
        async with running() as provider:
            began = time.monotonic()
            await fetch_with_fetchmail(provider, Path(folder), FETCHED, tls=True)
            took = time.monotonic() - began
            async with postfix() as server:
                await fetch_into(provider, server, [f"postfix-{i}" for i in range(FETCHED)])
            async with exim() as server:
                await fetch_into(provider, server, [f"exim-{i}" for i in range(FETCHED)])
    shared = pytest("tests/flows/test_06_many.py", "-k", "share")
    return (
        f"fetchmail {FETCHED} over implicit TLS, sent and fetched in {took:.1f} s, none twice; Postfix {FETCHED} and Exim "
        f"{FETCHED}, each once and in order; two connectors share 2,000, each a tenth at least: {shared}"
    )


async def ten_thousand() -> str:
    """One session each; then through a server that has enough after 1,000."""
    figures = []
    async with running() as provider:
        await many.make_account(provider)
        for tls in ("none", "starttls", "implicit"):
            began = time.monotonic()
            sessions = await many.drain(provider, many.MANY, tls=tls)
            if sessions != 1:
                raise NotShown(f"{tls}: {sessions} sessions")
            figures.append(f"{tls} {many.MANY / (time.monotonic() - began):.0f}/s with filling")
        sessions = await many.drain(provider, many.MANY, tls="starttls", most=1_000)
    return f"{many.MANY:,} in one session, in order for each domain: {', '.join(figures)}; with 421 after each 1,000: {sessions} sessions"


async def live() -> str:
    """By wake-up; and with NATS frozen by the poll."""
    async with running(ODMR_POLL_SECONDS=str(POLL)) as provider:
        async with live_customer(provider) as came:
            median, worst = median_and_worst(await pushes(provider, came, 200, "push", 20))
            async with frozen(provider, "nats"):
                by_poll = await pushes(provider, came, 2, "poll", 2 * POLL + 5)
    if median >= MOST_PUSH:
        raise NotShown(f"the median is {median:.1f} ms")
    return (
        f"from the sender's 250 to the customer's server having it, 200 mails: median {median:.1f} ms, worst {worst:.0f} ms; "
        f"with NATS frozen by the poll of {POLL:.0f} s: {', '.join(f'{one:.1f} s' for one in by_poll)}"
    )


async def big() -> str:
    """Peak memory of each service, as the kernel kept it."""
    async with running() as provider:
        grown = await growth(provider, BIG)
    figures = ", ".join(f"{service} {octets / MIB:.1f}" for service, octets in grown.items())
    if max(grown.values()) >= MOST_GROWTH:
        raise NotShown(f"MiB of growth: {figures}")
    return f"{BIG // MIB} MiB in and out, octet by octet; MiB of growth at the peak: {figures}"


async def sentences() -> str:
    """Counted from the tests' own tables, and run."""
    counts = {
        "dialogues": (len(all_dialogues()), 40),
        "bad settings": (len(BAD), 25),
        "bad connector configs": (len(BAD_FILES) + len(LACKING), 15),
        "bad connector command lines": (len(BAD_WORDS), 0),
        "problem codes": (len(CODES), len(CODES)),
        "exit codes of the command line": (len(EXITS), len(EXITS)),
    }
    for what, (there, wanted) in counts.items():
        if there < wanted:
            raise NotShown(f"{there} {what}, and {wanted} are wanted")
    last = pytest(
        "tests/protocol/test_dialogues.py", "tests/flows/test_dialogues_live.py", "tests/checks/test_settings.py",
        "tests/connector/test_settings.py", "tests/services/api", "tests/flows/test_04_command_line.py",
    )  # fmt: skip
    return f"{', '.join(f'{there} {what}' for what, (there, _) in counts.items())}: {last}"


async def compose() -> str:
    """Where an engine answers."""
    if shutil.which("docker") is None or subprocess.run(["docker", "version"], capture_output=True).returncode:
        raise NotShown("no Docker engine answers here")
    return pytest("tests/compose")


LINES = [
    Line(1, "each statement of the check-list is named by a test that ran", statements),
    Line(2, "fetchmail over TLS; the connector into Postfix and Exim; two connectors share a queue", peers),
    Line(3, "10,000 messages in one session, plain and TLS, in order; and past a 421 after each 1,000", ten_thousand),
    Line(4, "live: commit to the customer under 100 ms at the median; without NATS by the poll", live),
    Line(5, "a message of 50 MiB, each service growing by less than 32 MiB", big),
    Line(6, "dialogues, bad settings, bad connector configs, problem codes, exit codes", sentences),
    Line(7, "`docker compose up -d --wait`, a mail in and out through published ports by fetchmail", compose),
]

if __name__ == "__main__":
    main(2, LINES)
