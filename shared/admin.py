"""Whether a service lives and is ready, and its figures, by HTTP on a port of its own: /livez, /readyz and /metrics.

/livez never looks at PostgreSQL or NATS; /readyz does, and is 503 from SIGTERM on, so that no new connection is sent here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from shared import metrics

#: Seconds for a request, and for the check behind /readyz.
REQUEST_TIME: Final = 5.0
#: Octets of a request line.
MAX_REQUEST: Final = 4_096


@asynccontextmanager
async def admin_port(listen: str, stop: asyncio.Event, is_ready: Callable[[], Awaitable[bool]]) -> AsyncIterator[None]:
    """Answers while the body runs; nothing where `listen` is empty."""
    if not listen:
        yield
        return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_TIME):
                path = (await reader.readline()).decode("ascii", "replace").split(" ")[1:2]
                status, body = await _answer(path[0] if path else "", stop, is_ready)
                kind = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' own, which is text for the others, too
                head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"{head}Connection: close\r\n\r\n".encode("ascii") + body)
                await writer.drain()
        writer.close()

    host, _, port = listen.rpartition(":")
    server = await asyncio.start_server(serve, host.strip("[]"), int(port), limit=MAX_REQUEST)
    try:
        yield
    finally:
        server.close()


async def _answer(path: str, stop: asyncio.Event, is_ready: Callable[[], Awaitable[bool]]) -> tuple[str, bytes]:
    if path == "/livez":
        return "200 OK", b"alive\n"
    if path == "/metrics":
        return "200 OK", metrics.text()
    if path != "/readyz":
        return "404 Not Found", b"not found\n"
    if stop.is_set():
        return "503 Service Unavailable", b"stopping\n"
    try:
        ready = await is_ready()
    except Exception:
        ready = False
    return ("200 OK", b"ready\n") if ready else ("503 Service Unavailable", b"not ready\n")
