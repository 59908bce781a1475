"""What inbound is told."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from services.inbound.policy import MAX_MESSAGE
from shared.config import Listen, ProxyNetworks, TracedSettings
from shared.protocol import grammar
from shared.protocol.grammar import BadSyntax, parse_rcpt


def _is_mailbox(value: str) -> str:
    if value:
        try:
            has_domain = bool(parse_rcpt(f"TO:<{value}>").path.domain)
        except BadSyntax:
            has_domain = False
        if not has_domain:
            raise ValueError("write an address of a domain that is hosted here, such as you@example.org")
    return value


class InboundSettings(TracedSettings):
    """inbound's own."""

    #: host:port of the MX port.
    smtp_listen: Listen = "127.0.0.1:2525"
    #: host:port for balancers that say who the sender is (PROXY protocol, version 2), and the networks where they are, with
    #: spaces between them; empty for none.
    smtp_proxy_listen: Listen | Literal[""] = ""
    proxy_networks: ProxyNetworks = ""
    #: Octets of one message, told by SIZE.
    max_message_bytes: int = Field(default=MAX_MESSAGE, ge=64 * 1024, le=1 << 31)
    #: What becomes of content with a CR or LF alone, as which smuggled messages come (CVE-2023-51764): made CR LF, or 550.
    bare_line_ends: Literal["normalize", "reject"] = "normalize"
    #: Who gets mail for the bare <postmaster>, which every server must take (RFC 5321 4.5.1); it is refused while empty.
    postmaster: Annotated[str, AfterValidator(_is_mailbox)] = ""
    #: Whether mail is taken only for domains whose DNS showed that they are their customer's.
    only_verified_domains: bool = False
    #: A folder on the file system that the database lies on, where that is this machine; mail is refused with 452 and
    #: readiness is red while fewer octets than this are free there.
    disk_path: str = ""
    min_free_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    #: The same while the database is larger than this; 0 for no limit.
    max_database_bytes: int = Field(default=0, ge=0)
    #: How long a transaction may go on after SIGTERM.
    drain_seconds: float = Field(default=30.0, ge=0)

    @model_validator(mode="after")
    def _balancers_are_named(self) -> Self:
        if self.smtp_proxy_listen and not self.proxy_networks:
            raise ValueError("ODMR_SMTP_PROXY_LISTEN needs ODMR_PROXY_NETWORKS: whoever may speak there says who he is")
        return self

    @field_validator("disk_path")
    @classmethod
    def _is_folder(cls, value: str) -> str:
        if value and not Path(value).is_dir():
            raise ValueError("write the path of a folder on the file system that the database lies on")
        return value

    @property
    def postmaster_path(self) -> grammar.Path | None:
        """The same, parsed."""
        return parse_rcpt(f"TO:<{self.postmaster}>").path if self.postmaster else None
