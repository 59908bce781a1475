"""`python -m services.inbound`."""

from services.inbound.app import run
from services.inbound.settings import InboundSettings
from shared.program import main

if __name__ == "__main__":
    main("inbound", InboundSettings, run)
