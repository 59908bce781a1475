"""Where the provider's own mail goes on one machine: a smart host on loopback that writes each message to a file.

Nothing leaves the machine (DESIGN, decided 24): `.local/outbox/*.eml` is what senders would have been sent.
"""

from pathlib import Path
from typing import Final

from localserve.sink import Received, Sink
from shared.clock import Clock
from shared.protocol import reply as r
from shared.protocol.reply import Reply

KEYWORDS: Final = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 0")


class Outbox:
    """Runs beside the services, in the process that started them."""

    def __init__(self, folder: Path, port: int, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._count = 0
        self._sink = Sink(self._keep, keywords=KEYWORDS, port=port)

    async def start(self) -> None:
        """From now on it takes mail."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        await self._sink.start()

    async def stop(self) -> None:
        """Takes no more."""
        await self._sink.stop()

    @property
    def messages(self) -> list[Received]:
        """What was taken since the start, in order."""
        return self._sink.messages

    async def wait_for(self, count: int, seconds: float) -> None:
        """Returns when at least so many messages are here. Raises TimeoutError."""
        await self._sink.wait_for(count, seconds)

    def _keep(self, message: Received) -> Reply:
        self._count += 1
        name = f"{self._clock.now():%Y%m%dT%H%M%S}-{self._count:06}.eml"
        (self._folder / name).write_bytes(message.content)
        return r.S250_OK
