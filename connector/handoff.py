"""The local server: probed before ATRN, then joined with the turned line octet by octet.

What the connector passes on it never answers for: only the local server's own words reach the provider. When one side
ends, the other sees an end, and no dot that was not sent.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from connector.deliver import Deliver, Local, open_local
from connector.dial import Line
from connector.outcome import Exit, Outcome
from shared.protocol.reply import BadReply, Reply, ReplyReader
from shared.protocol.wire import MAX_REPLY_LINE, LineBuffer, LineTooLong
from shared.tls import Stream

#: Seconds for the local server to greet. RFC 5321 4.5.3.2.1 has five minutes; a local one has no excuse.
GREETING_TIME: Final = 60.0
#: Octets of the local server's last words that are kept, to see how it ended.
LAST_WORDS: Final = 256


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A local server that has greeted; the octets of its greeting wait to be passed on."""

    way: Local
    greeting: bytes


async def probe(deliver: Deliver) -> LocalServer | Outcome:
    """Calls the local server and hears its greeting, before anything is asked of the provider."""
    try:
        async with asyncio.timeout(GREETING_TIME):
            way = await open_local(deliver)
    except (OSError, TimeoutError) as error:
        return Outcome(Exit.LOCAL_DOWN, f"the local server {deliver} cannot be reached: {error or 'no answer'}")
    try:
        async with asyncio.timeout(GREETING_TIME):
            heard, reply = await _hear_reply(way.stream)
    except (OSError, TimeoutError, BadReply, LineTooLong) as error:
        await way.close()
        return Outcome(Exit.LOCAL_DOWN, f"the local server {deliver} does not greet: {error or 'no answer'}")
    if reply.code != 220:
        await way.close()
        return Outcome(Exit.LOCAL_DOWN, f"the local server {deliver} greets with {reply}")
    return LocalServer(way, heard)


async def _hear_reply(stream: Stream) -> tuple[bytes, Reply]:
    lines, replies, heard = LineBuffer(MAX_REPLY_LINE), ReplyReader(), b""
    while True:
        data = await stream.read()
        if not data:
            raise ConnectionResetError("it closed the connection")
        heard += data
        lines.feed(data)
        while (line := lines.next_line()) is not None:
            if (reply := replies.add(line)) is not None:
                return heard, reply


async def join(line: Line, local: LocalServer) -> Outcome:
    """Passes octets both ways until a side ends, and tells how it was."""
    provider = line.stream
    from_local = asyncio.create_task(_pump(local.way.stream, provider, local.greeting))
    from_provider = asyncio.create_task(_pump(provider, local.way.stream, line.early))
    done, _ = await asyncio.wait({from_local, from_provider}, return_when=asyncio.FIRST_COMPLETED)
    if from_provider in done and from_local not in done:
        local.way.stream.half_close()  # the provider is gone: the server sees an end, and may still say its last word
        await asyncio.wait({from_local}, timeout=1.0)
    for task in (from_local, from_provider):
        task.cancel()
    await asyncio.gather(from_local, from_provider, return_exceptions=True)
    provider.close()
    await local.way.close()
    to_provider, last_words = _result(from_local)
    to_local, _ = _result(from_provider)
    said_goodbye = b"\r\n221" in b"\r\n" + last_words
    if said_goodbye:
        return Outcome(Exit.OK, "the queue is empty", to_provider, to_local)
    return Outcome(Exit.CUT, "the line broke; what was not answered comes again", to_provider, to_local)


def _result(task: "asyncio.Task[tuple[int, bytes]]") -> tuple[int, bytes]:
    return (0, b"") if task.cancelled() or task.exception() else task.result()


async def _pump(source: Stream, sink: Stream, first: bytes) -> tuple[int, bytes]:
    """Octets passed on, and the last of them."""
    count, last_words = 0, b""
    data = first or await source.read()
    try:
        while data:
            await sink.write(data)
            count += len(data)
            last_words = (last_words + data)[-LAST_WORDS:]
            data = await source.read()
    except OSError:
        pass  # the sink is gone: the other pump sees its end
    return count, last_words
