"""`python -m services.api`."""

from services.api.app import run
from services.api.settings import ApiSettings
from shared.program import main

if __name__ == "__main__":
    main("api", ApiSettings, run)
