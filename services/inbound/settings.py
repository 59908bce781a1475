"""What inbound is told."""

from pydantic import Field

from services.inbound.policy import MAX_MESSAGE
from shared.config import Listen, TlsSettings


class InboundSettings(TlsSettings):
    """inbound's own."""

    #: host:port of the MX port.
    smtp_listen: Listen = "127.0.0.1:2525"
    #: Octets of one message, told by SIZE.
    max_message_bytes: int = Field(default=MAX_MESSAGE, ge=64 * 1024, le=1 << 31)
    #: How long a transaction may go on after SIGTERM.
    drain_seconds: float = Field(default=30.0, ge=0)
