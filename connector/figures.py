"""How the calls went, in Prometheus' text form, in a file that node_exporter's textfile collector reads."""

import re
import sys
from collections import Counter
from pathlib import Path

from connector.outcome import Exit, Outcome

_LINE = re.compile(
    r'^odmr_connector_(?:calls_total\{exit="(?P<exit>[a-z_]+)"\} (?P<calls>\d+)|octets_total (?P<octets>\d+))$',
    re.MULTILINE,
)


class Figures:
    """Counts on from what the file says, so that `once` from cron counts, too. Without a file it does nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._calls: Counter[str] = Counter()
        self._octets = 0
        if path is not None and path.is_file():
            for found in _LINE.finditer(path.read_text(errors="replace")):
                if found["exit"]:
                    self._calls[found["exit"]] = int(found["calls"])
                else:
                    self._octets = int(found["octets"])

    def count(self, outcome: Outcome) -> None:
        """One call more. The file is written anew and put in place at once; where that fails, it is said and no more."""
        if self._path is None:
            return
        self._calls[outcome.exit.name.lower()] += 1
        self._octets += outcome.to_local
        draft = self._path.with_name(f".{self._path.name}.new")
        try:
            draft.write_text(self._text(outcome))
            draft.replace(self._path)
        except OSError as error:
            print(f"odmr-connector: --metrics-file {self._path} cannot be written: {error.strerror}", file=sys.stderr)

    def _text(self, outcome: Outcome) -> str:
        calls = "".join(
            f'odmr_connector_calls_total{{exit="{one.name.lower()}"}} {self._calls[one.name.lower()]}\n' for one in Exit
        )
        return (
            "# HELP odmr_connector_calls_total Calls of the provider, by how they ended.\n"
            f"# TYPE odmr_connector_calls_total counter\n{calls}"
            "# HELP odmr_connector_octets_total Octets that the local server was given.\n"
            f"# TYPE odmr_connector_octets_total counter\nodmr_connector_octets_total {self._octets}\n"
            "# HELP odmr_connector_last_exit Exit code of the last call; docs/customer.md lists them.\n"
            f"# TYPE odmr_connector_last_exit gauge\nodmr_connector_last_exit {int(outcome.exit)}\n"
        )
