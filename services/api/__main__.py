"""`python -m services.api`."""

import uvloop

from services.api.app import run
from services.api.settings import ApiSettings
from shared.program import main

if __name__ == "__main__":
    main("api", ApiSettings, run, uvloop.new_event_loop)  # a request costs less CPU on it
