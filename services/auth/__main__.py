"""`python -m services.auth`."""

from services.auth.app import run
from services.auth.settings import AuthSettings
from shared.program import main

if __name__ == "__main__":
    main("auth", AuthSettings, run)
