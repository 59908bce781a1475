"""The whole provider as child processes: PostgreSQL, NATS, the five services. Started in order, ended in the other order."""

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from localserve import certificates, nats, postgres
from localserve.children import Child, Program, last_line
from localserve.layout import SERVICES, CannotStart, Layout, Ports, Secrets, free_port
from localserve.outbox import Outbox
from shared.bus import payloads, subjects
from shared.bus.connection import Bus, NoAnswer
from shared.clock import Clock
from shared.config import environment
from shared.storage import schema
from shared.storage.engine import CONNECTION_LOST

#: Seconds until everything answers.
START_TIME: Final = 120.0
POLL: Final = 0.05
#: The discard port: no name outside is looked up, since webhooks go where ODMR_WEBHOOK_ALLOW says, and notices to the outbox.
NO_DNS: Final = "127.0.0.1:9"
DATABASE: Final = "odmr"
#: Who gets mail for the bare <postmaster>: the demo customer.
POSTMASTER: Final = "postmaster@demo.example"
HERE: Final = Path(__file__).resolve().parent.parent


class Provider:
    """Start it, use it, stop it. `extra_env` is for all services, `failpoints` for the first start of each."""

    def __init__(
        self,
        root: Path,
        ports: Ports,
        *,
        extra_env: Mapping[str, str] | None = None,
        failpoints: Mapping[str, str] | None = None,
    ) -> None:
        self.layout = Layout(root.resolve())
        self._wanted_ports = ports
        self._extra_env = dict(extra_env or {})
        self._failpoints = dict(failpoints or {})
        self._lock: IO[str] | None = None
        self._children: dict[str, Child] = {}
        self._fatal: asyncio.Future[str] | None = None
        self.clock = Clock()
        self.ports = ports
        self.database_port = 0
        self.nats_port = 0
        self._outbox_port = 0
        #: Where each service tells its figures.
        self.admin_ports: dict[str, int] = {}
        self.outbox = Outbox(self.layout.root / "outbox", 0, self.clock)
        self.ca_file = root
        self.secrets = Secrets("", "", "", {})

    async def start(self) -> None:
        """Returns when every port answers. Raises CannotStart, and then nothing is left running."""
        self.layout.prepare()
        self._lock = self.layout.lock()
        self.layout.demo_env.unlink(missing_ok=True)  # it is written when the ports answer
        self._fatal = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(START_TIME):
                await self._start()
        except TimeoutError:
            await self.stop()
            raise CannotStart(
                f"The provider did not answer within {START_TIME:.0f} s; see {self.layout.root}/logs"
            ) from None
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self.ports = self._wanted_ports.resolved()
        self.secrets = Secrets.load(self.layout)
        self.ca_file, chain, key = certificates.prepare(self.layout, self.clock)
        self.database_port, self.nats_port, self._outbox_port = free_port(), free_port(), free_port()
        self.admin_ports = {service: free_port() for service in SERVICES}
        self.outbox = Outbox(self.layout.root / "outbox", self._outbox_port, self.clock)
        await self.outbox.start()
        binaries, data, who = await asyncio.to_thread(postgres.prepare, self.layout, self.secrets.database)
        await self._child(postgres.program(binaries, data, who, self.database_port))
        await self._child(nats.program(self.layout, self.nats_port, self.secrets.nats))
        await self._make_database()
        await schema.upgrade(self.database_url)
        for service in SERVICES:
            await self._child(self._service(service, chain, key))
        await self.answers()

    async def stop(self) -> None:
        """Ends everything that was started."""
        for child in reversed(list(self._children.values())):
            with contextlib.suppress(Exception):
                await child.stop()
        self._children.clear()
        await self.outbox.stop()
        if self._lock is not None:
            self.layout.demo_env.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    async def failed(self) -> str:
        """Returns when a program cannot go on, with what it said last."""
        assert self._fatal is not None
        return await self._fatal

    def child(self, name: str) -> Child:
        """A program of ours by name: a service, `postgres` or `nats`."""
        return self._children[name]

    async def another(self, service: str, name: str, port: int, env: Mapping[str, str]) -> Child:
        """A second process of a service, with a name and settings of its own, when its port answers; the caller stops it."""
        _, chain, key = certificates.prepare(self.layout, self.clock)
        program = self._service(service, chain, key)
        child = Child(
            replace(program, name=name, env={**program.env, "ODMR_ADMIN_LISTEN": "", **env}),
            self.layout,
            self._on_fatal,
        )
        await child.start()
        await self._answers(port)
        return child

    async def restart(self, service: str, failpoint: str = "") -> None:
        """Ends a service and starts it again, with this failpoint armed until it dies. Returns when all answers."""
        await self._children.pop(service).stop()
        self._failpoints = {service: failpoint} if failpoint else {}
        _, chain, key = certificates.prepare(self.layout, self.clock)
        await self._child(self._service(service, chain, key))
        await self.answers()

    async def answers(self) -> None:
        """Returns when every port answers, and auth on the bus."""
        for port in (
            self.ports.smtp,
            self.ports.odmr,
            self.ports.odmr_tls,
            self.ports.odmr_certificate,
            self.ports.api,
        ):
            await self._answers(port)
        await self.auth_answers()

    @property
    def database_url(self) -> str:
        """For asyncpg and the services."""
        return f"postgresql://odmr:{self.secrets.database}@127.0.0.1:{self.database_port}/{DATABASE}"

    async def auth_answers(self) -> None:
        """Returns when auth answers on the bus."""
        bus = Bus(nats.url("odmr", self.secrets.nats["odmr"], self.nats_port), "odmr")
        bus.start()
        question = payloads.encode(payloads.VerifyRequest("start", "start", "CRAM-MD5", None, (), "127.0.0.1", False))
        try:
            while True:
                self._check()
                with contextlib.suppress(NoAnswer):
                    await bus.request(subjects.AUTH_VERIFY, question, 1.0)
                    return
                await asyncio.sleep(POLL)
        finally:
            await bus.close()

    def _service(self, service: str, chain: Path, key: Path) -> Program:
        env = {
            **_inherited(),
            "ODMR_DATABASE_URL": self.database_url,
            "ODMR_NATS_URL": nats.url(service, self.secrets.nats[service], self.nats_port),
            "ODMR_ADMIN_LISTEN": f"127.0.0.1:{self.admin_ports[service]}",
            "ODMR_HOSTNAME": "mx.provider.example",
            "ODMR_SMTP_LISTEN": f"127.0.0.1:{self.ports.smtp}",
            "ODMR_ODMR_LISTEN": f"127.0.0.1:{self.ports.odmr}",
            "ODMR_ODMR_TLS_LISTEN": f"127.0.0.1:{self.ports.odmr_tls}",
            "ODMR_ODMR_CERTIFICATE_LISTEN": f"127.0.0.1:{self.ports.odmr_certificate}",
            "ODMR_POSTMASTER": POSTMASTER,
            "ODMR_API_LISTEN": f"127.0.0.1:{self.ports.api}",
            "ODMR_TLS_CERTIFICATE": str(chain),
            "ODMR_TLS_KEY": str(key),
            "ODMR_CRAM_MD5": "always",
            "ODMR_SMART_HOST": f"127.0.0.1:{self._outbox_port}",
            "ODMR_DNS": NO_DNS,
            "ODMR_DISK_PATH": str(self.layout.root),
            **self._extra_env,
        }
        if service == "auth":
            env["ODMR_SEAL_KEY"] = self.secrets.seal_key
        if service == "api":
            env["ODMR_API_SEAL_KEY"] = self.secrets.api_seal_key
            env["ODMR_PORT"], env["ODMR_TLS_PORT"] = str(self.ports.odmr), str(self.ports.odmr_tls)
            env["ODMR_CERTIFICATE_PORT"] = str(self.ports.odmr_certificate)
        first = {"ODMR_FAILPOINT": self._failpoints[service]} if service in self._failpoints else {}
        return Program(service, [sys.executable, "-m", f"services.{service}"], env, cwd=HERE, first_env=first)

    async def _child(self, program: Program) -> None:
        child = Child(program, self.layout, self._on_fatal)
        self._children[program.name] = child
        await child.start()

    def _on_fatal(self, why: str) -> None:
        if self._fatal is not None and not self._fatal.done():
            self._fatal.set_result(why)

    def _check(self) -> None:
        if self._fatal is not None and self._fatal.done():
            raise CannotStart(self._fatal.result())

    async def _make_database(self) -> None:
        admin = self.database_url.removesuffix(DATABASE) + "postgres"
        while True:
            self._check()
            if self._children["postgres"].starts > 5:
                raise CannotStart(f"PostgreSQL does not stay up: {last_line(self.layout.log('postgres'))}")
            with contextlib.suppress(*CONNECTION_LOST):
                await schema.create_database(admin, DATABASE)
                return
            await asyncio.sleep(POLL)

    async def _answers(self, port: int) -> None:
        while True:
            self._check()
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                return
            await asyncio.sleep(POLL)


def _inherited() -> dict[str, str]:
    """Of our own environment only what a program needs to run; a setting of ODMR's comes from here, not from outside."""
    names = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in environment().items() if name in names}
    return {**kept, "PYTHONUNBUFFERED": "1"}
