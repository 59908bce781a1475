"""`make demo`: one trip of real mail through the whole provider, every octet compared, every step timed."""

import asyncio
import smtplib
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from localserve.layout import CannotStart, Ports, temporary_root
from localserve.provider import HERE, Provider
from localserve.provision import DEMO_DOMAIN, client, provision
from localserve.sink import Received, Sink

SENDER: Final = "someone@sender.example"
#: Octets of the big attachment.
BIG: Final = 4 * 1024 * 1024
MANY: Final = 50


@dataclass(frozen=True, slots=True)
class Letter:
    """One message of the demo."""

    what: str
    forward_paths: tuple[str, ...]
    content: bytes
    options: tuple[str, ...] = ()


class Failed(Exception):
    """The demo shows that something is wrong."""


def letters() -> list[Letter]:
    """Plain, dots, 8-bit, a multi-megabyte attachment, many recipients."""

    def one(what: str, body: bytes, *, to: tuple[str, ...] = ("you",), options: tuple[str, ...] = ()) -> Letter:
        head = f"From: {SENDER}\r\nTo: you@{DEMO_DOMAIN}\r\nSubject: {what}\r\nMIME-Version: 1.0\r\n"
        kind = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n" if options else ""
        return Letter(what, tuple(f"{x}@{DEMO_DOMAIN}" for x in to), (head + kind).encode() + b"\r\n" + body, options)

    random = Random(2645)  # noqa: S311 - the same letters each time
    noise = b"".join(random.randbytes(38).hex().encode() + b"\r\n" for _ in range(BIG // 78))
    return [
        one("a plain message", b"Hello,\r\n\r\nit arrived.\r\n"),
        one("lines that begin with dots", b".\r\n..\r\n...and more\r\n. \r\n.x\r\n"),
        one("eight-bit text", "Grüße aus Köln — 你好 — Привет\r\n".encode(), options=("BODY=8BITMIME",)),
        one(f"an attachment of {BIG // 1024 // 1024} MiB", noise),
        one(f"{MANY} recipients", b"For all of you.\r\n", to=tuple(f"user{i}" for i in range(MANY))),
    ]


async def demo() -> int:
    """Runs it in a folder of its own, and leaves nothing running; gives the exit code."""
    began = time.monotonic()
    try:
        with temporary_root("odmr-demo-") as root:
            await _demo(root)
    except (Failed, CannotStart) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    print(f"\nAll of it in {time.monotonic() - began:.1f} s. Nothing was left running.")
    return 0


@contextmanager
def _step(what: str) -> Iterator[None]:
    print(f"  {what:<72}", end="", flush=True)
    began = time.monotonic()
    yield
    print(f"{(time.monotonic() - began) * 1000:8.0f} ms", flush=True)


@asynccontextmanager
async def _provider(root: Path) -> AsyncIterator[Provider]:
    provider = Provider(root, Ports(0, 0, 0, 0, 0))
    try:
        yield provider
    finally:
        await provider.stop()


async def _demo(root: Path) -> None:
    print("On-Demand Mail Relay: mail in by SMTP, out over a connection that the customer makes.\n")
    async with _provider(root) as provider:
        with _step("start PostgreSQL, NATS, inbound, auth, odmr, outbound, api"):
            await provider.start()
            await provision(provider)
        sent = letters()
        for letter in sent:
            size = f"{len(letter.content):,} octets"
            with _step(f"send {letter.what} to the MX ({size}); 250 means it is on disk"):
                await asyncio.to_thread(_send, provider.ports.smtp, letter)
        expected = sum(len(letter.forward_paths) for letter in sent)
        with _step("ask the HTTP API what waits"):
            waiting = await _waiting(provider)
        if waiting != expected:
            raise Failed(f"{expected} recipients should wait, and the API says {waiting}")
        sink = Sink()
        await sink.start()
        try:
            with _step("the connector calls: STARTTLS, CRAM-MD5, ATRN, the turn, all mail"):
                await _connector(provider, sink, expect=0)
            with _step("it calls again: 453, you have no mail"):
                await _connector(provider, sink, expect=0)
        finally:
            await sink.stop()
        _compare(sent, sink.messages)
        print(f"\n  {len(sent)} messages for {expected} recipients came through; every octet is the same.")
        if (left := await _waiting(provider)) != 0:
            raise Failed(f"nothing should wait any more, and the API says {left}")


def _send(port: int, letter: Letter) -> None:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="mail.sender.example", timeout=60) as smtp:
        refused = smtp.sendmail(SENDER, letter.forward_paths, letter.content, mail_options=letter.options)
        if refused:
            raise Failed(f"{letter.what}: refused for {refused}")


async def _waiting(provider: Provider) -> int:
    async with client(provider) as api:
        answer = await api.get(f"/v1/domains/{DEMO_DOMAIN}/queue")
        answer.raise_for_status()
        return int(answer.json()["messages"].get("queued", 0))


async def _connector(provider: Provider, sink: Sink, *, expect: int) -> None:
    secret = provider.layout.root / "demo.secret"
    provider.layout.write_private(secret, provider.secrets.demo_secret)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connector", "once",
        "--provider", f"127.0.0.1:{provider.ports.odmr}", "--tls", "starttls", "--ca-file", str(provider.ca_file),
        "--user", provider.secrets.demo_user, "--secret-file", str(secret),
        "--deliver", f"127.0.0.1:{sink.port}",
        cwd=HERE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    if process.returncode != expect:
        raise Failed(f"the connector ended with {process.returncode}: {said.decode(errors='replace').strip()}")


def _compare(sent: list[Letter], received: list[Received]) -> None:
    """Each letter came once, with its envelope and its octets behind our Received lines."""
    for letter in sent:
        got = [one for one in received if one.content.endswith(letter.content)]
        if len(got) != 1:
            raise Failed(f"{letter.what} came {len(got)} times, or changed on its way")
        added = got[0].content.removesuffix(letter.content)
        if not added.startswith(b"Received: ") or b"\r\n\r\n" in added:
            raise Failed(f"{letter.what}: before it stands {added[:200]!r}")
        if got[0].reverse_path != SENDER or set(got[0].forward_paths) != set(letter.forward_paths):
            raise Failed(f"{letter.what}: the envelope changed on its way")
    if len(received) != len(sent):
        raise Failed(f"{len(sent)} messages were sent, {len(received)} came")
