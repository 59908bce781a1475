"""A session of three messages that is cut at one octet, and what must then be true. RELIABILITY C1.

The connector calls through a proxy that passes so many octets one way and then ends it, resets it, or falls silent. A second
session fetches the rest. What was delivered is exactly what the provider was told before the cut.
"""

import asyncio
import contextlib
import re
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from connector.deliver import Address
from connector.outcome import Outcome
from connector.schedule import call_once
from connector.settings import Settings
from localserve.sink import Received, Sink
from shared.protocol.reply import Reply
from shared.storage.accept import Acceptor
from tests.services.odmr.conftest import Odmr
from tests.storage.seeding import seed
from tests.waiting import until

How = Literal["FIN", "RST", "silence"]
MESSAGES = 3
#: Sessions at once, each of a customer of its own.
WORKERS = 12
READ = 4096


@dataclass(frozen=True, slots=True)
class Cut:
    """Where: after so many octets from the provider or to it; and how."""

    to_provider: bool
    at: int
    how: How


class Proxy:
    """One connection through it is cut; without a cut it passes all. Keeps what each side was given."""

    def __init__(self, port: int, cut: Cut | None) -> None:
        self._port = port
        self._cut = cut
        self.given = {True: b"", False: b""}  # by to_provider
        self._is_cut = asyncio.Event()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            ours, theirs = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers += [writer, theirs]
            pumps = [asyncio.create_task(self._pump(*ends)) for ends in ((reader, theirs, True), (ours, writer, False))]
            cut = asyncio.create_task(self._is_cut.wait())
            await asyncio.wait({*pumps, cut}, return_when=asyncio.FIRST_COMPLETED)
            if self._is_cut.is_set():
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
                self._end(writer, theirs)
                if self._cut is not None and self._cut.how == "silence":
                    while await ours.read(READ):
                        pass
                    for end in (writer, theirs):  # the customer's side finds out later, and is not waited for here
                        end.close()
            else:
                await asyncio.wait(pumps)
                for end in (writer, theirs):
                    end.close()
            cut.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to_provider: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(READ):
                data = data.replace(b"250-STARTTLS\r\n", b"")  # so that the octets stay in clear
                if self._cut is not None and self._cut.to_provider is to_provider:
                    data = data[: self._cut.at - len(self.given[to_provider])]
                self.given[to_provider] += data
                writer.write(data)
                await writer.drain()
                if self._cut is not None and len(self.given[self._cut.to_provider]) >= self._cut.at:
                    self._is_cut.set()
                    return
            writer.write_eof()

    def _end(self, *writers: asyncio.StreamWriter) -> None:
        assert self._cut is not None
        for writer in writers if self._cut.how != "silence" else ():
            if self._cut.how == "RST":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()


class Cutter:
    """One customer, one local server, one ledger (or none), and as many cuts as are asked for."""

    def __init__(self, provider: Odmr, settings: Settings, sink: Sink, kept: list[str]) -> None:
        self._provider = provider
        self._settings = settings
        self._sink = sink
        self._kept = kept

    @classmethod
    async def make(cls, provider: Odmr, name: str, ledger: Path | None) -> "Cutter":
        """With a ledger the connector relays; without it passes octets on."""
        own = replace(provider, customer=await seed(provider.database_url, f"{name}.example"))
        login, kept = await own.mint(), list[str]()

        def answer(message: Received) -> Reply:
            found = re.search(rb"Subject: (\S+)", message.content)
            kept.append(found[1].decode() if found else "")
            return Reply(250, "2.6.0", (f"kept {kept[-1]}",))

        sink = Sink(answer)
        await sink.start()
        settings = Settings(
            Address("127.0.0.1", 0), Address("127.0.0.1", sink.port), login.authcid, login.secret.encode(),
            tls="none", mode="relay" if ledger else "pipe", ledger=ledger,
        )  # fmt: skip
        return cls(own, settings, sink, kept)

    async def lengths(self) -> tuple[int, int]:
        """Octets that the provider says, and hears, in a session that nobody cuts."""
        await self._fill()
        async with Proxy(self._provider.port, None) as proxy:
            await self._call(proxy)
        return len(proxy.given[False]), len(proxy.given[True])

    async def check(self, cut: Cut) -> int:
        """Fails when anything but the rule came of it; gives how many came twice."""
        subjects = await self._fill()
        async with Proxy(self._provider.port, cut) as proxy:
            calling = asyncio.create_task(self._call(proxy))
            await asyncio.wait({calling}, timeout=60)
            assert calling.done(), cut
            await self._gives_up()
        delivered = await self._delivered()
        told = {subject for subject in subjects if f" kept {subject}\r\n".encode() in proxy.given[True]}
        assert delivered == told if cut.how != "RST" else delivered <= told, (cut, delivered, told)
        async with Proxy(self._provider.port, None) as whole:
            outcome = await self._call(whole)
            await self._gives_up()
        assert await self._delivered() == set(subjects), (cut, outcome)
        times = Counter(subject for subject in self._kept if subject in subjects)
        assert set(times) == set(subjects), (cut, times)
        twice = {subject for subject, count in times.items() if count > 1}
        assert not twice & delivered and max(times.values()) <= 2, (cut, times)
        assert not (twice and self._settings.ledger), (cut, times)
        return len(twice)

    async def close(self) -> None:
        """Its server takes no more."""
        await self._sink.stop()

    async def _fill(self) -> list[str]:
        await self._provider.pool.execute(
            "DELETE FROM recipients WHERE customer_id = $1", self._provider.customer.customer_id
        )
        self._kept.clear()
        acceptor = Acceptor(self._provider.pool)
        acceptor.start()
        subjects = [f"{i}{'x' * 6}" for i in range(MESSAGES)]
        for subject in subjects:
            await acceptor.accept(self._provider.customer.message(f"Subject: {subject}\r\n\r\n.body\r\n".encode()))
        await acceptor.close()
        return subjects

    async def _call(self, proxy: Proxy) -> Outcome:
        return await call_once(replace(self._settings, provider=Address("127.0.0.1", proxy.port)))

    async def _gives_up(self) -> None:
        """Returns when the provider has no session of this customer any more."""
        customer = self._provider.customer.customer_id

        async def is_over() -> bool:
            return not await self._provider.pool.fetchval(
                "SELECT count(*) FROM leases WHERE customer_id = $1", customer
            )

        await until(is_over, 20)

    async def _delivered(self) -> set[str]:
        rows = await self._provider.pool.fetch(
            "SELECT c.bytes FROM recipients r JOIN content c USING (message_id) WHERE r.customer_id = $1 AND r.state = 'delivered'",
            self._provider.customer.customer_id,
        )  # fmt: skip
        return {row["bytes"].split(b"\r\n")[0].removeprefix(b"Subject: ").decode() for row in rows}


async def cut_all(provider: Odmr, folder: Path, hows: Iterable[How], step: int, *, remembers: bool) -> tuple[int, int]:
    """Every `step`-th octet, both ways; gives how many cuts there were, and how many messages came twice."""
    cutters = [
        await Cutter.make(provider, f"c{i}", folder / f"{i}.ledger" if remembers else None) for i in range(WORKERS)
    ]
    said, heard = await cutters[0].lengths()
    cuts = [
        Cut(to_provider, at, how)
        for how in hows
        for to_provider, length in ((False, said), (True, heard))
        for at in range(1, length, step)
    ]
    waiting, twice = cuts[::-1], 0

    async def work(cutter: Cutter) -> None:
        nonlocal twice
        while waiting:
            twice += await cutter.check(waiting.pop())

    try:
        await asyncio.gather(*(work(cutter) for cutter in cutters))
    finally:
        for cutter in cutters:
            await cutter.close()
    return len(cuts), twice
