"""Drives the relay between the turned line and the local server; the ledger is on disk before the provider hears 250."""

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, assert_never

from connector.dial import Line
from connector.handoff import LAST_WORDS_TIME, LocalServer
from connector.ledger import Ledger
from connector.outcome import Exit, Outcome
from shared.protocol.events import RelayEnded, Remember, ToProvider, ToServer, Waiting
from shared.protocol.memory import NoMemory
from shared.protocol.relay import Relay
from shared.tls import Stream

#: Octets that gather before they are written.
WRITE_AT: Final = 64 * 1024
#: Seconds for the local server's reply to content when the provider is gone: it is remembered, so that no repeat comes twice.
LAST_REPLY_TIME: Final = 60.0


async def relay(line: Line, local: LocalServer, ledger: Ledger | None, is_ours: Callable[[str], bool]) -> Outcome:
    """Until a side ends; tells how it was. Without a ledger a repeat is not known."""
    relaying = _Relaying(line, local, ledger, is_ours)
    try:
        return await relaying.run()
    finally:
        await relaying.close()


class _Relaying:
    """One line. What the provider hears after a Remember waits until that is on disk; the local server goes on meanwhile."""

    def __init__(self, line: Line, local: LocalServer, ledger: Ledger | None, is_ours: Callable[[str], bool]) -> None:
        self._provider = line.stream
        self._local = local
        self._ledger = ledger
        self._machine = Relay(ledger if ledger is not None else NoMemory(), is_ours)
        if line.early:
            self._machine.from_provider(line.early)
        self._machine.from_server(local.greeting)
        self._to_server = bytearray()
        #: What the provider is to hear, each with how many Remembers stand before it.
        self._to_provider: deque[tuple[int, bytes]] = deque()
        self._remembering: deque[tuple[str, tuple[str, ...]]] = deque()
        self._asked = self._durable = self._batch = 0
        self._writing: asyncio.Task[None] | None = None
        self._reads: dict[Stream, asyncio.Task[bytes]] = {}
        self._octets_in = self._octets_out = 0
        #: Why the line to the provider is broken, once it is.
        self._broke = ""

    async def run(self) -> Outcome:
        try:
            return await self._converse()
        except OSError as error:
            return self._cut(str(error))

    def _cut(self, why: str) -> Outcome:
        return self._outcome(Exit.CUT, f"the line broke; what was not answered comes again: {why or 'closed'}")

    def _breaks(self, error: OSError) -> None:
        """The provider is gone, however it went; the local server's last word is still waited for."""
        self._broke = str(error) or "closed"
        self._machine.from_provider(b"")

    async def _converse(self) -> Outcome:
        while True:
            match self._machine.next_event():
                case ToServer(data):
                    self._to_server += data
                    if len(self._to_server) >= WRITE_AT:
                        await self._flush()
                case ToProvider(data):
                    self._to_provider.append((self._asked, data))
                case Remember(message_id, forward_paths):
                    if self._ledger is not None:
                        self._asked += 1
                        self._remembering.append((message_id, forward_paths))
                case RelayEnded(why, clean, by_421):
                    return await self._ended(why, clean=clean, by_421=by_421)
                case Waiting():
                    if await self._flush():
                        await self._wait()
                case event:
                    assert_never(event)

    async def _ended(self, why: str, *, clean: bool, by_421: bool) -> Outcome:
        with contextlib.suppress(OSError):
            while self._remembering or self._writing is not None:
                self._remember()
                assert self._writing is not None
                await asyncio.wait({self._writing})
                self._written()
            await self._flush()
        if by_421 and self._machine.taken:
            return self._outcome(Exit.OK, "the local server has enough for one connection", self._machine.taken)
        if self._broke and not clean:
            return self._cut(self._broke)
        outcome = self._outcome(Exit.OK if clean and not by_421 else Exit.CUT, why)
        return replace(outcome, ended_by_server=self._machine.server_is_gone)

    def _outcome(self, exit_code: Exit, text: str, batch: int = 0) -> Outcome:
        return Outcome(exit_code, text, self._octets_out, self._octets_in, batch, self._machine.taken)

    async def _flush(self) -> bool:
        """Writes what may be written now. False when that finds the provider gone: the machine has its say to it first."""
        if self._to_server:
            data = bytes(self._to_server)
            self._to_server.clear()
            await self._local.way.stream.write(data)
            self._octets_in += len(data)
        due = bytearray()
        while self._to_provider and self._to_provider[0][0] <= self._durable:
            due += self._to_provider.popleft()[1]
        if due and not self._broke:
            try:
                await self._provider.write(bytes(due))
                self._octets_out += len(due)
            except OSError as error:
                self._breaks(error)
                return False
        return True

    def _remember(self) -> None:
        """One fsync for all that has gathered while the last one ran."""
        if self._remembering and self._writing is None:
            assert self._ledger is not None
            batch = list(self._remembering)
            self._remembering.clear()
            self._writing = asyncio.create_task(asyncio.to_thread(self._ledger.add, batch))
            self._batch = len(batch)

    def _written(self) -> None:
        """A ledger that cannot be written keeps no 250 back: the local server has the mail, and would get it for ever."""
        if self._writing is not None and self._writing.done():
            writing, self._writing = self._writing, None
            self._durable += self._batch
            if (error := writing.exception()) is not None:
                print(
                    f"odmr-connector: the ledger cannot be written: {error}; a repeat may come twice", file=sys.stderr
                )

    async def _wait(self) -> None:
        """One read that goes on over many waits a side: a read that is cancelled may have taken octets with it."""
        self._remember()
        local = self._local.way.stream
        wanted = [local, *([self._provider] if self._machine.reads_provider else [])]
        for stream in wanted:
            if stream not in self._reads:
                self._reads[stream] = asyncio.create_task(stream.read())
        waits: set[asyncio.Task[Any]] = {self._reads[stream] for stream in wanted}
        done, _ = await asyncio.wait(
            waits | ({self._writing} if self._writing is not None else set()),
            timeout=LAST_REPLY_TIME if self._machine.provider_is_gone else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not done:
            raise ConnectionResetError("the local server did not answer after the provider had gone")
        self._written()
        for stream, take in ((local, self._machine.from_server), (self._provider, self._machine.from_provider)):
            if stream in wanted and self._reads[stream].done():
                take(self._reads.pop(stream).result())

    async def close(self) -> None:
        for read in self._reads.values():
            read.cancel()
        writing = [self._writing] if self._writing is not None else []
        await asyncio.gather(*self._reads.values(), *writing, return_exceptions=True)
        await self._provider.close_gently(LAST_WORDS_TIME)
        await self._local.way.stream.close_gently(LAST_WORDS_TIME)  # it sees an end, and no broken pipe
        await self._local.way.close()
