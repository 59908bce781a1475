"""`make show-3`: nothing is lost, whoever dies and whoever lies."""

import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from localserve.provider import HERE
from tests.chaos.cuts import cut_everywhere
from tests.checks.test_faults import rows
from tests.flows.live import running
from tests.flows.sender import DOMAIN
from tests.security.smuggling import LAX, forms
from tests.show import racing
from tests.show.bodies import generated, samples, there_and_back
from tests.show.flooding import FLOODS, MOST_MEMORY, MOST_NOOP, flood
from tests.show.lines import Line, NotShown, main, pytest
from tests.show.measuring import MIB

RACES, RACERS = 1_000, 25
BODIES = 10_000
#: Debian's libmail-deliverystatus-bounceparser-perl: from a notice on stdin its recipients, each with code and status.
PERL = """
use Mail::DeliveryStatus::BounceParser; local $/; my $b = Mail::DeliveryStatus::BounceParser->new(<STDIN>);
print join(" ", $b->is_bounce ? "bounce" : "no-bounce", map { join("=", $_->get("email"), $_->get("smtp_code"), $_->get("status")) } $b->reports), "\n";
"""


async def the_ledger() -> str:
    """`make chaos` but for the cuts, which are line 3."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--no-cuts"], cwd=HERE, stdout=subprocess.PIPE, text=True
    )
    print(done.stdout)
    last = done.stdout.strip().splitlines()[-1]
    if done.returncode:
        raise NotShown(last)
    return last.removeprefix("chaos: ")


async def the_matrix() -> str:
    """docs/faults.md, which a test holds to."""
    pytest("tests/checks/test_faults.py")
    tested = [row for row in rows() if row.tests]
    return (
        f"{len(rows())} rows: {len(tested)} have tests that are there, {len(rows()) - len(tested)} a sentence why not"
    )


async def every_cut() -> str:
    """Each octet, both ways, three ways of breaking, with a ledger and without."""
    held, figures = cut_everywhere()
    if not held:
        raise NotShown(figures)
    return figures


async def every_octet() -> str:
    """Forms of an end of data, and bodies."""
    last = pytest("tests/flows/test_12_smuggling.py")
    async with running() as provider:
        smtp = provider.ports.smtp
        mails = await there_and_back(provider, samples(), smtp, DOMAIN)
        made = await there_and_back(provider, generated(BODIES), smtp, DOMAIN)
        piped = await there_and_back(
            provider, generated(1_000, seed=2), smtp, DOMAIN, "--mode", "pipe", "--ledger", "none"
        )
    return f"{len(forms())} forms before {len(LAX)} lax servers: {last}; {mails} sample mails, {made} + {piped} bodies, all the same"


async def races() -> str:
    """Two sessions, one frozen past its lease."""
    async with running(**racing.SETTINGS) as provider:
        result = await racing.race(provider, RACES, RACERS)
    if result.twice_with_ledger:
        raise NotShown(f"{result.twice_with_ledger} came twice though the connector remembers")
    return f"{result.races} races, lease {racing.LEASE} s: {result.twice_by_rule} repeats, all of messages sent before the freeze; none with a ledger"


async def floods() -> str:
    """What another client and inbound's memory feel."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8_192, hard), hard))
    figures = []
    async with running() as provider:
        for what in FLOODS:
            felt = await flood(provider, what)
            figures.append(f"{what}: {felt.memory / MIB:.1f} MiB, NOOP p99 {felt.p99 * 1000:.0f} ms")
            if felt.memory > MOST_MEMORY or felt.p99 > MOST_NOOP:
                raise NotShown(figures[-1])
    return "; ".join(figures)


async def parsers() -> str:
    """Python's email and flufl.bounce in tests; Perl's Mail::DeliveryStatus::BounceParser here."""
    last = pytest("tests/domain/test_dsn.py", "tests/flows/test_11_notices.py")
    from shared.domain.dsn import Kind, compose
    from tests.domain.test_dsn import BOB, NOW, ORIGINAL

    if shutil.which("perl") is None:
        raise NotShown("perl is not on this machine: apt-get install libmail-deliverystatus-bounceparser-perl")
    text = compose(Kind.FAILED, ORIGINAL, (BOB,), hostname="mx.provider.example", name="abc", now=NOW)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "parse.pl"
        script.write_text(PERL)
        done = subprocess.run(["perl", str(script)], input=text.replace(b"\r\n", b"\n"), capture_output=True)
    said = done.stdout.decode().strip()
    if done.returncode or said != "bounce Bob+x@Demo.example=550=5.1.1":
        raise NotShown(f"{said} {done.stderr.decode()[-300:]}")
    return f"{last}; Perl's BounceParser: {said}"


LINES = [
    Line(
        1, "the ledger: 20,000 messages under kills, dying servers and restarts; seeded defects are found", the_ledger
    ),
    Line(2, "each row of the fault matrix has a test, or a sentence why not", the_matrix),
    Line(3, "a session of 3 messages cut at every octet, both ways, by FIN, RST and silence", every_cut),
    Line(
        4,
        "500 forms of an end of data before four lax servers; sample mails and 10,000 bodies come as they were",
        every_octet,
    ),
    Line(5, "1,000 races of two sessions on one queue, one frozen past its lease", races),
    Line(6, "floods: memory at most 16 MiB a session, another client's NOOP p99 at most 100 ms", floods),
    Line(7, "our DSNs, read by parsers that nobody here wrote", parsers),
]

if __name__ == "__main__":
    main(3, LINES)
