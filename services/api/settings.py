"""What api is told."""

from typing import Literal

from pydantic import Field

from shared.config import Listen, SealKey, Settings


class ApiSettings(Settings):
    """api's own."""

    #: host:port of the HTTP API.
    api_listen: Listen = "127.0.0.1:8025"
    #: 32 octets in base64 under which webhook secrets and kept answers lie sealed. All replicas share it.
    api_seal_key: SealKey = Field(repr=False)
    #: host:port, with spaces between them, that webhooks may call though they are no public address, and by http.
    webhook_allow: str = ""
    #: address:port of the DNS server that is asked for the hosts of webhooks; empty for those of the machine.
    dns: Listen | Literal[""] = ""
    #: The ports that customers call, as they see them: with STARTTLS, with TLS from the first octet, and where TLS asks for a
    #: certificate. For what they are told to type.
    port: int = Field(default=366, ge=1, le=65_535)
    tls_port: int = Field(default=3367, ge=1, le=65_535)
    certificate_port: int = Field(default=3368, ge=1, le=65_535)
    #: Requests a second that one key may make, on average; more get 429. 0 for no limit.
    api_requests_per_second: int = Field(default=100, ge=0)
