"""How often a key may ask: a token bucket each, in this process. RFC 6585 4, draft-ietf-httpapi-ratelimit-headers."""

import math
from typing import Final

from fastapi import Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from services.api.access import bearer_of, parts_of
from services.api.errors import Problem, answer

#: Seconds of requests that a key which was quiet may make at once.
BURST_SECONDS: Final = 10
#: Keys of which a bucket is kept; who is forgotten begins with a full one.
_MOST: Final = 10_000


class Rates:
    """A bucket a key. `per_second` 0 is no limit."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._size = per_second * BURST_SECONDS
        self._buckets: dict[bytes, tuple[float, float]] = {}

    def take(self, key: bytes, now: float) -> tuple[int, float]:
        """Requests that are left, and seconds to wait: 0 when this one may be done."""
        left, at = self._buckets.get(key, (float(self._size), now))
        left = min(self._size, left + (now - at) * self._per_second)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_second
        if len(self._buckets) >= _MOST and key not in self._buckets:
            self._buckets.clear()
        self._buckets[key] = (left if wait else left - 1, now)
        return int(left if wait else left - 1), wait

    async def __call__(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """The middleware."""
        if not self._per_second:
            return await call_next(request)
        left, wait = self.take(bearer_of(request), parts_of(request).clock.monotonic())
        if wait:
            response = answer(Problem("rate_limited"), request)
            response.headers["Retry-After"] = str(math.ceil(wait))
        else:
            response = await call_next(request)
        response.headers["RateLimit-Policy"] = f'"key";q={self._size};w={BURST_SECONDS}'
        response.headers["RateLimit"] = f'"key";r={left}'
        return response
