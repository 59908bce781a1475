"""What the services share: the protocol, decisions, the spool, the bus."""

from typing import Final

VERSION: Final = "0.1.0"
