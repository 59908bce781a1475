"""What inbound is told."""

from typing import Annotated

from pydantic import AfterValidator, Field

from services.inbound.policy import MAX_MESSAGE
from shared.config import Listen, TlsSettings
from shared.protocol.grammar import BadSyntax, Path, parse_rcpt


def _is_mailbox(value: str) -> str:
    if value:
        try:
            has_domain = bool(parse_rcpt(f"TO:<{value}>").path.domain)
        except BadSyntax:
            has_domain = False
        if not has_domain:
            raise ValueError("write an address of a domain that is hosted here, such as you@example.org")
    return value


class InboundSettings(TlsSettings):
    """inbound's own."""

    #: host:port of the MX port.
    smtp_listen: Listen = "127.0.0.1:2525"
    #: Octets of one message, told by SIZE.
    max_message_bytes: int = Field(default=MAX_MESSAGE, ge=64 * 1024, le=1 << 31)
    #: Who gets mail for the bare <postmaster>, which every server must take (RFC 5321 4.5.1); it is refused while empty.
    postmaster: Annotated[str, AfterValidator(_is_mailbox)] = ""
    #: How long a transaction may go on after SIGTERM.
    drain_seconds: float = Field(default=30.0, ge=0)

    @property
    def postmaster_path(self) -> Path | None:
        """The same, parsed."""
        return parse_rcpt(f"TO:<{self.postmaster}>").path if self.postmaster else None
