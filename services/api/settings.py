"""What api is told."""

from shared.config import Listen, Settings


class ApiSettings(Settings):
    """api's own."""

    #: host:port of the HTTP API.
    api_listen: Listen = "127.0.0.1:8025"
