"""odmr and auth in this process, on a real PostgreSQL and a real NATS, with any settings; and a customer that says what it is told."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from localserve import certificates
from localserve.layout import Layout, free_port
from services.auth.app import run as run_auth
from services.auth.keyring import Keyring
from services.auth.minter import Minter
from services.auth.seal import Seal
from services.auth.settings import AuthSettings
from services.odmr.app import run as run_odmr
from services.odmr.settings import OdmrSettings
from shared.bus import payloads
from shared.clock import Clock
from shared.protocol.sasl.cram_md5 import respond
from shared.storage.accept import Acceptor
from shared.storage.credentials import Credentials
from shared.storage.engine import Pool, create_engine
from shared.tls import client_context
from tests.storage.seeding import Seed, seed
from tests.waiting import until

KEY = b"k" * 32
CLOSED = "<closed>"


@dataclass(frozen=True, slots=True)
class Login:
    """A credential of the customer's."""

    authcid: str
    secret: str


@dataclass(slots=True)
class Odmr:
    """A running odmr, its customer, and where it listens."""

    port: int
    tls_port: int
    certificate_port: int
    ca_file: Path
    customer: Seed
    pool: Pool
    database_url: str
    stop: asyncio.Event
    running: "asyncio.Task[None]"
    customers: "list[Customer]" = field(default_factory=list)

    async def mint(self, certificate: bytes = b"", **policies: Any) -> Login:
        """A credential."""
        engine = create_engine(self.database_url, size=1)
        minter = Minter(Credentials(engine), Keyring(Seal(KEY)), Clock())
        request = payloads.MintRequest(
            "r",
            str(self.customer.customer_id),
            certificate=certificate,
            **policies,
        )
        made = await minter.mint(request)
        await engine.dispose()
        return Login(made.authcid, made.secret)

    async def accept(self, count: int = 1, recipients: int = 1, content: bytes = b"Subject: x\r\n\r\nbody\r\n") -> None:
        """Puts messages into the queue."""
        acceptor = Acceptor(self.pool)
        acceptor.start()
        await asyncio.gather(
            *(acceptor.accept(self.customer.message(content, recipients=recipients)) for _ in range(count))
        )
        await acceptor.close()

    async def call(self, port: int = 0, context: ssl.SSLContext | None = None) -> "Customer":
        """A connection, greeted."""
        host = "localhost" if context else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port or self.port, ssl=context, server_hostname=host
        )
        customer = Customer(reader, writer)
        self.customers.append(customer)
        assert (await customer.reply()).startswith("220 ")
        return customer

    async def login(self, login: Login) -> "Customer":
        """A connection, authenticated by CRAM-MD5."""
        customer = await self.call()
        await self.authenticate(customer, login)
        return customer

    async def authenticate(self, customer: "Customer", login: Login) -> None:
        """By CRAM-MD5."""
        await customer.say("EHLO c.example")
        challenge = await customer.say("AUTH CRAM-MD5")
        response = respond(login.authcid, login.secret.encode(), base64.b64decode(challenge[4:]))
        assert (await customer.say(base64.b64encode(response).decode())).startswith("235 ")

    async def states(self) -> list[tuple[str, int]]:
        """State and attempts of each row of the queue, in order."""
        rows = await self.pool.fetch("SELECT state, attempts FROM recipients ORDER BY id")
        return [(row["state"], row["attempts"]) for row in rows]

    async def ended(self) -> str:
        """Why the last session ended, once it has."""

        async def is_over() -> bool:
            running = "(SELECT count(*) FROM leases) + (SELECT count(*) FROM sessions WHERE ended_at IS NULL)"
            return not await self.pool.fetchval(f"SELECT {running}")

        await until(is_over, 10)
        return str(await self.pool.fetchval("SELECT why_ended FROM sessions ORDER BY id DESC LIMIT 1"))


class Customer:
    """Says lines, hears replies and, after the turn, commands."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def line(self) -> str:
        """The next line; CLOSED at the end."""
        async with asyncio.timeout(20):
            try:
                data = await self._reader.readline()
            except ConnectionError:
                return CLOSED
        return data.decode("latin-1").removesuffix("\r\n") if data else CLOSED

    async def reply(self) -> str:
        """The last line of a reply."""
        while (line := await self.line())[3:4] == "-":
            pass
        return line

    async def hello(self) -> list[str]:
        """What EHLO offers."""
        self.writer.write(b"EHLO c.example\r\n")
        lines = [await self.line()]
        while lines[-1][3:4] == "-":
            lines.append(await self.line())
        return [line[4:] for line in lines[1:]]

    async def say(self, text: str) -> str:
        """Says a line, and hears the reply to it."""
        self.tell(text)
        return await self.reply()

    def tell(self, text: str) -> None:
        """Says a line."""
        self.writer.write(text.encode("latin-1") + b"\r\n")

    async def until_line(self, wanted: str) -> list[str]:
        """The lines up to this one."""
        lines: list[str] = []
        while (line := await self.line()) != wanted:
            assert line != CLOSED, lines
            lines.append(line)
        return lines

    def close(self) -> None:
        """Hangs up."""
        self.writer.close()


Factory = Callable[..., AbstractAsyncContextManager[Odmr]]


@pytest.fixture
def odmr(database_url: str, nats_urls: dict[str, str], pool: Pool, tmp_path: Path) -> Factory:
    """Starts odmr with these settings beside what it needs."""

    @asynccontextmanager
    async def start(**settings: object) -> AsyncIterator[Odmr]:
        layout = Layout(tmp_path)
        layout.prepare()
        ca_file, chain, key = certificates.prepare(layout, Clock())
        customer = await seed(database_url)
        stop = asyncio.Event()
        ports = [free_port() for _ in range(3)]
        known = {"database_url": database_url, "hostname": "mx.example"}
        auth = asyncio.create_task(
            run_auth(AuthSettings(**known, nats_url=nats_urls["auth"], seal_key=base64.b64encode(KEY).decode()), stop)
        )
        given = {
            "odmr_listen": f"127.0.0.1:{ports[0]}",
            "odmr_tls_listen": f"127.0.0.1:{ports[1]}",
            "odmr_certificate_listen": f"127.0.0.1:{ports[2]}",
            "tls_certificate": chain,
            "tls_key": key,
            "cram_md5": "always",
            **settings,
        }
        running = asyncio.create_task(run_odmr(OdmrSettings(**known, nats_url=nats_urls["odmr"], **given), stop))  # type: ignore[arg-type]
        made = Odmr(ports[0], ports[1], ports[2], ca_file, customer, pool, database_url, stop, running)

        async def answers() -> bool:
            with contextlib.suppress(OSError):
                probe = await made.call(made.tls_port, client_context(ca_file))
                await probe.say("EHLO c.example")
                is_there = (await probe.say("AUTH SCRAM-SHA-256")).startswith("334")
                probe.close()
                return is_there
            return False

        await until(answers, 20)
        try:
            yield made
        finally:
            for one in made.customers:
                one.close()
            stop.set()
            await asyncio.gather(running, auth)

    return start
