"""What outbound is told."""

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from shared.config import Listen, Settings


def _are_networks(value: str) -> str:
    try:
        for word in value.split():
            ipaddress.ip_network(word)
    except ValueError:
        raise ValueError("write networks with spaces between them, such as 127.0.0.0/8 10.1.0.0/16") from None
    return value


class OutboundSettings(Settings):
    """outbound's own."""

    #: Seconds between two rounds of the rescuer; the other sweeps run each tenth round.
    sweep_seconds: float = Field(default=1.0, ge=0.05, le=60)
    #: Seconds between two looks for notices to make and to send.
    outbound_seconds: float = Field(default=1.0, ge=0.05, le=60)
    #: host:port to which all mail of our own goes; empty to send to each domain's own servers, found by DNS.
    smart_host: Listen | Literal[""] = ""
    #: address:port of the DNS server to ask; empty for those of /etc/resolv.conf.
    dns: Listen | Literal[""] = ""
    #: The port of other domains' servers.
    mx_port: int = Field(default=25, ge=1, le=65_535)
    #: Networks that mail is sent to although they are private; an MX record there is otherwise taken for an attack.
    mx_networks: Annotated[str, AfterValidator(_are_networks)] = ""
    #: Notices to senders: in a minute to all, and in an hour to one reverse-path. What is more waits.
    dsn_per_minute: int = Field(default=600, ge=1)
    dsn_per_sender: int = Field(default=50, ge=1)
    #: How long the lease of a delivery lasts without renewal.
    lease_seconds: float = Field(default=30.0, ge=0.5, le=3600)
