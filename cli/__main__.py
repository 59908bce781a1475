"""`python -m cli`, or bin/odmr."""

import sys

if __name__ == "__main__":
    if sys.argv[1:] == ["health"]:  # asked every few seconds: answered before anything large is imported
        from cli.health import is_ready

        raise SystemExit(0 if is_ready() else 1)
    from cli.commands import app

    app()
