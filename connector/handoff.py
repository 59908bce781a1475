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
#: Octets of the local server's last words that are kept, to see how it ended: a line of RFC 5321 4.5.3.1.5.
LAST_WORDS: Final = 512
#: Seconds for the local server to end when the provider has, and for the provider to take the last of its words.
LAST_WORDS_TIME: Final = 10.0
#: How often a server said 250 that has taken a message before its 421: to EHLO, MAIL, RCPT and the content.
LEAST_YESES: Final = 4


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
    except BaseException as error:
        await way.close()
        if not isinstance(error, (OSError, TimeoutError, BadReply, LineTooLong)):
            raise
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
    try:
        done, _ = await asyncio.wait({from_local, from_provider}, return_when=asyncio.FIRST_COMPLETED)
        if from_provider in done and from_local not in done:
            local.way.stream.half_close()  # the server sees an end, and may still say its last words, which count
            await asyncio.wait({from_local}, timeout=LAST_WORDS_TIME)
    finally:
        for task in (from_local, from_provider):
            task.cancel()
        await asyncio.gather(from_local, from_provider, return_exceptions=True)
        await provider.close_gently(LAST_WORDS_TIME)
        await local.way.close()
    heard, said = _result(from_local), _result(from_provider)
    taken = heard.yeses // LEAST_YESES
    if heard.is_goodbye:
        return Outcome(Exit.OK, "the queue is empty", heard.octets, said.octets, taken=taken)
    if heard.has_421 and heard.yeses >= LEAST_YESES:
        text = "the local server has enough for one connection"
        return Outcome(Exit.OK, text, heard.octets, said.octets, heard.yeses, taken)
    return Outcome(
        Exit.CUT, "the line broke; what was not answered comes again", heard.octets, said.octets, taken=taken
    )


@dataclass(slots=True)
class _Passed:
    """What went one way: octets, the last of them, and how often 250 was said before a first 421.

    Exim says 421 to each MAIL over its limit and stays on the line, so that it need not be the last word.
    """

    octets: int = 0
    yeses: int = 0
    has_421: bool = False
    last: bytes = b"\r\n"

    def add(self, data: bytes) -> None:
        self.octets += len(data)
        if not self.has_421:
            before, leaves, _ = (self.last[-4:] + data).partition(b"\n421")
            self.yeses += before.count(b"\n250 ")
            self.has_421 = bool(leaves)
        self.last = (self.last + data)[-LAST_WORDS:]

    @property
    def is_goodbye(self) -> bool:
        """The last line is a 221."""
        return self.last.rstrip(b"\r\n").rpartition(b"\n")[2].startswith(b"221")


def _result(task: "asyncio.Task[_Passed]") -> _Passed:
    return _Passed() if task.cancelled() or task.exception() else task.result()


async def _pump(source: Stream, sink: Stream, first: bytes) -> _Passed:
    """Passes octets on to the end."""
    passed = _Passed()
    data = first or await source.read()
    try:
        while data:
            await sink.write(data)
            passed.add(data)
            data = await source.read()
    except OSError:
        pass  # the sink is gone: the other pump sees its end
    return passed
