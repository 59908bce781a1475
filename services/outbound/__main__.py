"""`python -m services.outbound`."""

from services.outbound.app import run
from services.outbound.settings import OutboundSettings
from shared.program import main

if __name__ == "__main__":
    main("outbound", OutboundSettings, run)
