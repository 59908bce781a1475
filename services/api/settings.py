"""What api is told."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from shared.config import Listen, SealKey, Settings


def _port_of(value: object) -> object:
    return value.rpartition(":")[2] if isinstance(value, str) else value


#: A port, or address:port as docker-compose.yml publishes it.
Published = Annotated[int, BeforeValidator(_port_of)]


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
    port: Published = Field(default=366, ge=1, le=65_535)
    tls_port: Published = Field(default=3367, ge=1, le=65_535)
    certificate_port: Published = Field(default=3368, ge=1, le=65_535)
    #: Requests a second that one key may make, on average; more get 429. 0 for no limit.
    api_requests_per_second: int = Field(default=100, ge=0)
