"""What api is told."""

from shared.config import Settings


class ApiSettings(Settings):
    """api's own."""

    #: host:port of the HTTP API.
    api_listen: str = "127.0.0.1:8025"
