"""How often a key may ask: a token bucket each, in this process. RFC 6585 4, draft-ietf-httpapi-ratelimit-headers."""

import math
from typing import Final

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.access import bearer_of, parts_of
from services.api.errors import Problem, answer

#: Seconds of requests that a key which was quiet may make at once.
BURST_SECONDS: Final = 10
#: Keys of which a bucket is kept; who is forgotten begins with a full one.
_MOST: Final = 10_000


class Rates:
    """A bucket a key, of `size` requests."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self.size = per_second * BURST_SECONDS
        self._buckets: dict[bytes, tuple[float, float]] = {}

    def take(self, key: bytes, now: float) -> tuple[int, float]:
        """Requests that are left, and seconds to wait: 0 when this one may be done."""
        left, at = self._buckets.get(key, (float(self.size), now))
        left = min(self.size, left + (now - at) * self._per_second)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_second
        if len(self._buckets) >= _MOST and key not in self._buckets:
            self._buckets.clear()
        self._buckets[key] = (left if wait else left - 1, now)
        return int(left if wait else left - 1), wait


class RateLimited:
    """The middleware."""

    def __init__(self, app: ASGIApp, rates: Rates) -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        left, wait = self._rates.take(bearer_of(request), parts_of(request).clock.monotonic())

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Policy"] = f'"key";q={self._rates.size};w={BURST_SECONDS}'
                headers["RateLimit"] = f'"key";r={left}'
                if wait:
                    headers["Retry-After"] = str(math.ceil(wait))
            await send(message)

        app = answer(Problem("rate_limited"), request) if wait else self._app
        await app(scope, receive, send_on)
