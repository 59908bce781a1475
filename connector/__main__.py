"""`python -m connector once|run|check ...`; the exit code says how it went."""

import asyncio
import sys

from connector.figures import Figures
from connector.outcome import Exit
from connector.schedule import call_for_ever, call_once, tell
from connector.settings import BadSetting, read


def main() -> int:
    """Runs the command line."""
    try:
        settings = read(sys.argv[1:])
    except BadSetting as error:
        print(f"odmr-connector: {error}", file=sys.stderr)
        return Exit.USAGE
    try:
        if settings.command == "run":
            return asyncio.run(call_for_ever(settings)).exit
        outcome = asyncio.run(call_once(settings))
    except KeyboardInterrupt:
        return Exit.OK
    tell(outcome)
    Figures(settings.metrics_file).count(outcome)
    return outcome.exit


if __name__ == "__main__":
    raise SystemExit(main())
