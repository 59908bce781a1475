"""`make show-1`: the main job runs on a bare machine, thin and real."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from rich.progress import track

from localserve.provider import HERE
from shared.config import environment
from tests.flows.killing import MOMENTS, SETTINGS, VICTIMS, kill_round
from tests.flows.live import running
from tests.interop.test_peers import fetch_with_fetchmail
from tests.show.lines import Line, NotShown, console, main, pytest, run

#: Seconds that `make test` may take.
TEST_BUDGET = 600
NOBODY = 65534
FETCHED = 500


def _clone(folder: Path) -> str:
    subprocess.run(["git", "clone", "-q", str(HERE), str(folder)], check=True)
    return str(folder)


async def fresh_clone() -> str:
    """Clones what is committed, alone in a folder with a space in its name; demo twice and test; demo as an ordinary user."""
    place = Path(tempfile.mkdtemp(prefix="odmr show "))
    place.chmod(0o755)
    env = {
        name: value
        for name, value in environment().items()
        if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VIRTUAL_ENV")
    }
    try:
        clone = _clone(place / "root")
        first, _ = run("make", "demo", cwd=clone, env=env)
        second, _ = run("make", "demo", cwd=clone, env=env)
        tools = HERE / ".tools"
        if tools.is_dir():
            shutil.copytree(tools, Path(clone) / ".tools", symlinks=True)
        seconds, last = run("make", "test", cwd=clone, env=env)
        if seconds > TEST_BUDGET:
            raise NotShown(f"make test took {seconds:.0f} s")
        ordinary = "not root, so this is the ordinary user"
        if os.geteuid() == 0:
            theirs = place / "nobody"
            _clone(theirs)
            for path in (theirs, *theirs.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
            taken, _ = run("make", "demo", cwd=str(theirs), env={**env, "HOME": str(theirs)}, uid=NOBODY)
            ordinary = f"as an ordinary user {taken:.0f} s"
        return (
            f"make demo with set-up {first:.0f} s, again {second:.0f} s, {ordinary}; make test {seconds:.0f} s: {last}"
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def dialogues() -> str:
    """In memory and against the live port."""
    memory = pytest("tests/protocol/test_dialogues.py")
    live = pytest("tests/flows/test_dialogues_live.py")
    return f"in memory {memory}; live {live}"


async def peers() -> str:
    """fetchmail in clear and over TLS with 500 messages each; swaks and smtp-source."""
    with tempfile.TemporaryDirectory() as folder:
        async with running() as provider:
            for tls in (False, True):
                await fetch_with_fetchmail(provider, Path(folder), FETCHED, tls=tls)
    senders = pytest("tests/interop/test_peers.py", "-k", "sends")
    return f"{FETCHED} in clear and {FETCHED} over implicit TLS, none lost, none twice; senders: {senders}"


async def hypothesis() -> str:
    """Every cut of the bytes; any order on the spool."""
    cuts = pytest("tests/protocol", "-k", "cut or book or read_back")
    spool = pytest("tests/storage/test_spool_machine.py")
    return f"cuts: {cuts}; spool: {spool}"


async def kills() -> str:
    """Each program at each moment; then `make run` again."""
    pairs = [(victim, moment) for victim in VICTIMS for moment in MOMENTS]
    repeated: dict[str, int] = {}
    async with running(**SETTINGS) as provider:
        for victim, moment in track(pairs, description="kill -9", console=console):
            try:
                result = await kill_round(provider, victim, moment)
            except (AssertionError, TimeoutError) as error:
                raise NotShown(f"{victim} at {moment!r}: {' '.join(repr(error).split())[:300]}") from None
            repeated[victim] = repeated.get(victim, 0) + result.repeated
    again = pytest("tests/flows/test_03_make_run.py", "-k", "two_starts")
    twice = ", ".join(f"{victim} {count}" for victim, count in repeated.items() if count) or "none"
    return f"{len(pairs)} kills, every message that got 250 arrived; repeated by rule: {twice}; make run again: {again}"


LINES = [
    Line(1, "fresh clone: `make demo` ends 0, `make test` passes in 10 minutes", fresh_clone),
    Line(2, "the dialogues, in memory and against the live port; 530, 450, 453", dialogues),
    Line(3, "fetchmail fetches 500, none lost, none twice; swaks and smtp-source send", peers),
    Line(4, "every cut of the bytes; any order on the spool (Hypothesis)", hypothesis),
    Line(5, "kill -9 of each program at each moment: what got 250 arrives; `make run` again works", kills),
]

if __name__ == "__main__":
    main(1, LINES)
