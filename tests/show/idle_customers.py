"""Customers who hold a live session each and wait, in a process of their own: `python -m tests.show.idle_customers PORT FILE`.

FILE has `authcid secret` a line. Prints `ready` when all sessions have turned, then a line for each message that came:
its name and when the last octet of it was here, by the clock that all processes of a machine share.
"""

import asyncio
import base64
import contextlib
import sys
import time
from pathlib import Path

from shared.protocol.sasl.cram_md5 import respond
from tests.flows.sender import name_of

#: Customers that log in at a time.
AT_ONCE = 50


async def _log_in(port: int, authcid: str, secret: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has turned, and whose first EHLO was answered: from here on the provider is the client."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=8192)
    await reader.readline()
    for line in (b"EHLO c.example", b"AUTH CRAM-MD5"):
        writer.write(line + b"\r\n")
        while (said := await reader.readline())[3:4] == b"-":
            pass
    writer.write(base64.b64encode(respond(authcid, secret.encode(), base64.b64decode(said[4:]))) + b"\r\n")
    assert (await reader.readline()).startswith(b"235")
    writer.write(b"ATRN\r\n")
    said = await reader.readline()
    assert said.startswith(b"250"), said
    writer.write(b"220 c.example ESMTP\r\n")
    assert (await reader.readline()).startswith(b"EHLO")
    writer.write(b"250 c.example\r\n")
    return reader, writer


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A mail server that takes all."""
    while line := await reader.readline():
        if line.upper().startswith(b"DATA"):
            writer.write(b"354 go\r\n")
            content = b""
            while (line := await reader.readline()) != b".\r\n":
                assert line
                content += line
            print(name_of(content), time.monotonic(), flush=True)
        writer.write(b"250 2.0.0 OK\r\n")


async def main(port: int, file: Path) -> None:
    """Until its input ends."""
    accounts = [line.split() for line in file.read_text().splitlines()]
    gate, connected = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(0)

    async def one(authcid: str, secret: str) -> None:
        async with gate:
            reader, writer = await _log_in(port, authcid, secret)
        connected.release()
        with contextlib.suppress(ConnectionError):
            await _serve(reader, writer)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(*account)) for account in accounts]
        for count in range(1, len(accounts) + 1):
            await connected.acquire()
            if count % 500 == 0:
                print("connected", count, flush=True)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
