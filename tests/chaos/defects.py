"""Defects for the checker to find: each is one change of the code, made in a copy of the tree that then runs a short plan.

A checker that has never said no proves nothing (RELIABILITY 6). It is not told which defect is on.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from localserve.provider import HERE

#: Seconds for one, with another beside it.
TIME = 360
#: What the copy needs.
PARTS = ("services", "shared", "connector", "localserve", "cli", "client", "tests", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Defect:
    """What is wrong, where, and how the code reads without and with it."""

    what: str
    file: str
    right: str
    wrong: str
    #: It shows only where two do the same at once, which another run beside it prevents.
    needs_quiet: bool = False


DEFECTS = (
    Defect(
        "250 before the commit", "services/inbound/transaction.py",
        "            await asyncio.shield(self._accepting)", "            await asyncio.sleep(0)",
    ),
    Defect(
        "delivered at 354", "shared/domain/disposition.py",
        "        case Stage.NOT_SENT | Stage.CONTENT:\n            return Deferred(text, _NOW)",
        "        case Stage.NOT_SENT:\n            return Deferred(text, _NOW)\n        case Stage.CONTENT:\n            return Delivered(text)",
    ),
    Defect("delivered at the dot", "shared/domain/disposition.py", "            return Uncertain(text)", "            return Delivered(text)"),
    Defect(
        "no fencing", "shared/storage/spool.py",
        "    ORDER BY r.next_at, r.id LIMIT $6\n    FOR UPDATE SKIP LOCKED", "    ORDER BY r.next_at, r.id LIMIT $6",
        needs_quiet=True,
    ),
    Defect("the last recipient dropped", "shared/storage/accept.py", "for m in messages for r in m.recipients]", "for m in messages for r in m.recipients[: max(1, len(m.recipients) - 1)]]"),
    Defect(
        "unstuffed twice", "services/inbound/server.py",
        "            await transaction.add_content(reader.feed(data))",
        '            await transaction.add_content(reader.feed(data).replace(b"\\r\\n..", b"\\r\\n."))',
    ),
    Defect(
        "a store error swallowed", "shared/storage/accept.py",
        '                _answer(waiting, NotAccepted(f"{type(error).__name__}: {error}"))', "                _answer(waiting, None)",
    ),
    Defect(
        "the envelope not reset", "services/inbound/server.py",
        "            self._transaction = None\n            with metrics", "            with metrics",
    ),
    Defect(
        "events only, no sweep", "services/odmr/wakeups.py",
        "                customers = list(self._waiting)\n", "                customers: list[CustomerId] = []\n",
    ),
    Defect(
        "5xx on a database error", "services/inbound/handler.py",
        "        return reply_text(S451_LOCAL_TROUBLE)", '        return "554 5.0.0 Internal error"',
    ),
    Defect("usage counted by attempt", "shared/storage/spool.py", "    WHERE state = 'delivered'\n    GROUP BY", "    GROUP BY"),
    Defect(
        "no rescuer", "shared/storage/sweeps.py",
        "WHERE leased_until <= now() LIMIT $1)\n        RETURNING id, session_id", "WHERE false LIMIT $1)\n        RETURNING id, session_id",
    ),
    Defect(
        "told again and again", "shared/storage/notices.py",
        "            if told and notice is not None:", "            if notice is not None:",
    ),
    Defect(
        "mail of all to each", "shared/storage/spool.py",
        "    WHERE r.customer_id = $3 AND r.state = 'queued' AND r.next_at >= $4 AND r.domain = ANY($5::text[])",
        "    WHERE $3::uuid IS NOT NULL AND r.state = 'queued' AND r.next_at >= $4 AND $5::text[] IS NOT NULL",
    ),
    Defect(
        "a repeat given to the local server", "connector/ledger.py",
        "        return _record(message_id, forward_path) in self._known", "        return False",
    ),
)  # fmt: skip


def seed(defect: Defect, root: Path) -> None:
    """A copy of the tree with the defect in it. Fails when the code does not read as the defect says."""
    for part in PARTS:
        source = HERE / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / part)
    file = root / defect.file
    text = file.read_text()
    assert text.count(defect.right) == 1, f"{defect.file} does not have {defect.right!r} once"
    file.write_text(text.replace(defect.right, defect.wrong))
    if defect.what == "told again and again":
        notices = root / "shared/storage/notices.py"
        notices.write_text(notices.read_text().replace("SET is_dsn_due = false", "SET is_dsn_due = made_up_is_due"))
        notices.write_text(notices.read_text().replace("made_up_is_due", "(random() < 0.5)"))


def found(defect: Defect) -> list[str]:
    """The rules that the checker says are broken, and what by; [] when it saw nothing."""
    with tempfile.TemporaryDirectory(prefix="odmr-defect-") as root:
        Path(root).chmod(0o755)
        seed(defect, Path(root))
        done = subprocess.run(
            [sys.executable, "-m", "tests.chaos", "--defective"], cwd=root, capture_output=True, text=True, timeout=TIME
        )
        lines = done.stdout.strip().splitlines()
        if done.returncode not in (0, 1) or not lines:
            raise AssertionError(f"{defect.what}: the run itself failed: {(done.stdout + done.stderr)[-800:]}")
        return [f"{rule}: {what}" for rule, what in json.loads(lines[-1])]
