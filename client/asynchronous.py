"""A client for programs on asyncio."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TypeVar

import httpx2

from client.request import TIMEOUT, Page, Request, Unreachable, wait_before_next

T = TypeVar("T")


class AsyncClient:
    """Asks a provider. Use it as a context, or close it. Raises Problem and Unreachable."""

    def __init__(self, url: str, key: str, *, timeout: float = TIMEOUT) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx2.AsyncClient(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    async def __aenter__(self) -> "AsyncClient":
        """Itself."""
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _e: BaseException | None, _tb: TracebackType | None
    ) -> None:
        """Closed."""
        await self.close()

    async def close(self) -> None:
        """Lets go of its connections."""
        await self._http.aclose()

    async def __call__(self, request: Request[T]) -> T:
        """The answer. What could not be done now is sent again a few times, a POST under the same Idempotency-Key."""
        headers, attempt = request.to_headers(), 0
        while True:
            attempt += 1
            response, error = None, None
            try:
                response = await self._http.request(request.method, request.path, json=request.body, headers=headers)
            except httpx2.TransportError as failed:
                error = failed
            wait = wait_before_next(request.method, attempt, response)
            if wait is not None:
                await asyncio.sleep(wait)
            elif response is not None:
                return request.read(response)
            else:
                raise Unreachable(f"{self._http.base_url} does not answer: {error}") from error

    async def pages(self, request: Request[Page[T]]) -> AsyncIterator[T]:
        """Every row of a list, page after page."""
        while True:
            page = await self(request)
            for row in page["data"]:
                yield row
            if not page["has_more"]:
                return
            request = request.after(page["next_cursor"])
