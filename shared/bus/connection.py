"""A connection to NATS that never gives up, and says plainly when nobody answers."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared import metrics
from shared.bus.subjects import inbox_of

log = structlog.get_logger()

#: Seconds. RELIABILITY 8: a partition is found within 30 s.
PING_INTERVAL: Final = 10
RECONNECT_WAIT: Final = 1
CONNECT_TIMEOUT: Final = 2
#: Octets kept for sending while the server is away; wake-ups beyond it are dropped, the sweep finds the mail.
PENDING: Final = 256 * 1024

Handler = Callable[[str, bytes], Awaitable[bytes | None]]


class NoAnswer(Exception):
    """Nobody answers on this subject, or not in time."""


class Bus:
    """Publish, ask, answer. Core NATS only: nothing is kept."""

    def __init__(self, url: str, service: str) -> None:
        self._url = url
        self._service = service
        self._client: Client = Client()
        self._connecting: asyncio.Task[None] | None = None
        self._closing = False
        self._running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begins to connect and returns at once: a service that can do without the bus is not kept waiting."""
        self._connecting = asyncio.create_task(self._connect())

    async def connected(self) -> None:
        """Returns when the server was there once; from then on the connection mends itself."""
        if self._connecting is not None:
            await asyncio.shield(self._connecting)

    async def _connect(self) -> None:
        async def on_error(error: Exception) -> None:
            log.debug("bus.error", error=f"{type(error).__name__}: {error}")

        async def on_disconnected() -> None:
            if not self._closing:
                log.warning("bus.disconnected")

        async def on_reconnected() -> None:
            log.info("bus.reconnected")

        await self._client.connect(
            self._url,
            name=self._service,
            error_cb=on_error,
            disconnected_cb=on_disconnected,
            reconnected_cb=on_reconnected,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT,
            connect_timeout=CONNECT_TIMEOUT,
            ping_interval=PING_INTERVAL,
            max_outstanding_pings=2,
            pending_size=PENDING,
            inbox_prefix=inbox_of(self._service).encode(),
        )

    @property
    def is_connected(self) -> bool:
        """Whether the server is there now."""
        return self._client.is_connected

    async def publish(self, subject: str, data: bytes = b"") -> None:
        """Says it, if the server is there; a wake-up that is lost is found by the poll."""
        try:
            await self._client.publish(subject, data)
        except (nats.errors.Error, OSError):
            metrics.PUBLISHED.labels("lost").inc()
        else:
            metrics.PUBLISHED.labels("ok").inc()

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        """Asks and gives the answer. Raises NoAnswer."""
        if not self._client.is_connected:
            raise NoAnswer("the bus is not there")
        try:
            answer: Msg = await self._client.request(subject, data, timeout=timeout)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from None
        return bytes(answer.data)

    async def subscribe(self, subject: str, handler: Handler, *, queue: str = "") -> None:
        """Calls the handler for each message, side by side; what it returns is the reply. Its errors are logged.

        Returns when the server has heard of it, which may be a while after `start`.
        """
        await self.connected()

        async def handle(message: Msg) -> None:
            try:
                answer = await handler(message.subject, message.data)
                if answer is not None and message.reply:
                    await self._client.publish(message.reply, answer)
            except Exception:
                log.exception("bus.handler_failed", subject=message.subject)

        async def spawn(message: Msg) -> None:
            task = asyncio.create_task(handle(message))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        await self._client.subscribe(subject, queue=queue, cb=spawn)
        with contextlib.suppress(nats.errors.Error, TimeoutError):
            await self._client.flush()

    async def close(self) -> None:
        """Ends the connection."""
        self._closing = True
        if self._connecting is not None:
            self._connecting.cancel()
        with contextlib.suppress(Exception):
            await self._client.close()


def allowed_users(users: dict[str, tuple[str, str]], allowed: dict[str, Any]) -> list[dict[str, Any]]:
    """NATS' `authorization.users`: service -> (user, password), with the allow-lists of subjects.ALLOWED."""
    return [
        {
            "user": user,
            "password": password,
            "permissions": {"publish": list(allowed[service][0]), "subscribe": list(allowed[service][1])},
        }
        for service, (user, password) in users.items()
    ]
