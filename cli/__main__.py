"""`python -m cli`, or bin/odmr."""

from cli.commands import app

if __name__ == "__main__":
    app()
