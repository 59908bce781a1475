"""Logs: a JSON line for each event, those of libraries, too."""

import json
import subprocess
import sys

from localserve.provider import HERE

PROGRAM = """
import logging
import structlog
from shared import observe
observe.configure("odmr", "info")
observe.bind(session_id="s")
structlog.get_logger().info("session.started", peer="192.0.2.1")
structlog.get_logger().debug("not.seen")
logging.getLogger("a.library").info("not seen either")
logging.getLogger("a.library").warning("it says %s", "this")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("a.library").exception("it failed")
"""


def test_each_line_is_json_and_has_the_ids() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=HERE, capture_output=True, text=True, check=True)
    own, said, failed = (json.loads(line) for line in done.stdout.splitlines())
    for line in (own, said, failed):
        assert (line["service"], line["session_id"]) == ("odmr", "s") and line["timestamp"].endswith("Z")
    assert (own["event"], own["peer"], own["level"]) == ("session.started", "192.0.2.1", "info")
    assert (said["event"], said["said"], said["logger"], said["level"]) == (
        "library.said",
        "it says this",
        "a.library",
        "warning",
    )
    assert "ZeroDivisionError" in failed["exception"] and failed["level"] == "error"
