"""Octets in are octets out: CPython's sample mails, and bodies made of what trips a mail server. RELIABILITY T2."""

import asyncio
import hashlib
import random
import re
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from localserve.provider import Provider
from localserve.sink import Received, Sink
from shared.protocol.dotstuff import ContentWriter
from shared.protocol.reply import S250_OK, Reply
from tests.flows.customer import call
from tests.show.lines import NotShown

CONNECTIONS = 4
_RECEIVED = re.compile(rb"Received: (?:[^\r]|\r\n\t)*\r\n")


def samples() -> list[bytes]:
    """CPython's own test mails, with CRLF line ends as an SMTP client says them. Raises NotShown where they are not there."""
    try:
        folder = Path(str(resources.files("test.test_email") / "data"))
    except ModuleNotFoundError:
        folder = Path("/usr/lib/python3.11/test/test_email/data")
    files = sorted(folder.glob("msg_*.txt"))
    if not files:
        raise NotShown("CPython's sample mails are not on this machine: apt-get install libpython3-testsuite")
    return [re.sub(rb"\r\n|\r|\n", b"\r\n", file.read_bytes()) for file in files]


def generated(count: int, seed: int = 1) -> list[bytes]:
    """Bodies of dots, line ends and letters in any order."""
    chance = random.Random(seed)
    return [
        b"".join(chance.choice((b".", b"..", b"\r\n", b"x")) for _ in range(chance.randint(0, 60)))
        for _ in range(count)
    ]


async def there_and_back(provider: Provider, bodies: Sequence[bytes], port: int, domain: str, *words: str) -> int:
    """Sends each, fetches all, and compares digests; gives how many. Raises NotShown."""
    wanted: Counter[bytes] = Counter()
    for body in bodies:
        wanted[hashlib.sha256(body if body.endswith(b"\r\n") or not body else body + b"\r\n").digest()] += 1
    waiting = list(bodies)[::-1]

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def say(data: bytes, code: bytes) -> None:
            writer.write(data)
            while (line := await reader.readline())[3:4] == b"-":
                pass
            if not line.startswith(code):
                raise NotShown(f"{line!r} to {data[:80]!r}")

        await say(b"", b"220")
        await say(b"EHLO sender.example\r\n", b"250")
        while waiting:
            body, stuffing = waiting.pop(), ContentWriter()
            await say(b"MAIL FROM:<a@remote.example> BODY=8BITMIME\r\n", b"250")
            await say(f"RCPT TO:<u@{domain}>\r\n".encode(), b"250")
            await say(b"DATA\r\n", b"354")
            await say(stuffing.write(body) + stuffing.finish(), b"250")
        writer.close()

    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
    got: Counter[bytes] = Counter()

    def take(message: Received) -> Reply:
        found = _RECEIVED.match(message.content)
        got[hashlib.sha256(message.content[found.end() if found else 0 :]).digest()] += 1
        sink.messages.clear()
        return S250_OK

    async with Sink(take) as sink:
        result = await call(provider, sink, options=words)
    if result.exit or got != wanted:
        raise NotShown(
            f"{sum((wanted - got).values())} of {len(bodies)} did not come as they were: {result.said[-200:]}"
        )
    return len(bodies)
