"""`python -m services.odmr`."""

from services.odmr.app import run
from services.odmr.settings import OdmrSettings
from shared.program import main

if __name__ == "__main__":
    main("odmr", OdmrSettings, run)
