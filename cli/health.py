"""Health by the program itself: asks the admin port of its own container, so that the image needs no curl."""

import http.client
import os

#: Seconds.
ASK_TIME = 5.0


def is_ready() -> bool:
    """Whether /readyz at ODMR_ADMIN_LISTEN says 200."""
    listen = os.environ.get("ODMR_ADMIN_LISTEN", "")  # noqa: TID251 - shared.config would import pydantic, every few seconds
    connection = http.client.HTTPConnection(listen, timeout=ASK_TIME)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
