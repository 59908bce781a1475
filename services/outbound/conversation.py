"""One connection to a stranger's server: opens it, with TLS where it is offered, and sends messages one by one.

RFC 5321, RFC 3207, RFC 7435. Security: the server may be anybody's; every wait has an end, and what it says is judged by
SmtpSender. TLS here keeps listeners out and proves nothing: nobody says which certificate a stranger must have.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from shared.protocol.events import ContentWanted, Finished, Outcome, Ready, SenderEnded, Waiting
from shared.protocol.flight import REPLY_TIME, Step, Transaction
from shared.protocol.opening import HandshakeDue, NotOpened, Opening
from shared.protocol.reply import Reply
from shared.protocol.sender import SmtpSender
from shared.tls import Stream, connect

#: Seconds to connect. Postfix smtp_connect_timeout.
CONNECT_TIME: Final = 30.0
#: Seconds for the handshake, and for all that comes before the first message: a slow stranger holds nobody up.
HANDSHAKE_TIME: Final = 60.0
OPENING_TIME: Final = REPLY_TIME[Step.GREETING]


class NotReached(Exception):
    """No session came about; `reply` is what the server said to that, if it said something."""

    def __init__(self, why: str, reply: Reply | None = None) -> None:
        super().__init__(why)
        self.reply = reply


class HandshakeFailed(NotReached):
    """It offers TLS and cannot do it with us: it may be reached in clear."""


async def open_line(address: str, port: int, hostname: str, *, tls: ssl.SSLContext | None) -> Stream:
    """A line on which EHLO is next. Raises NotReached; the stream is closed then."""
    try:
        async with asyncio.timeout(CONNECT_TIME):
            stream = await connect(address, port)
    except (OSError, TimeoutError) as error:
        raise NotReached(f"cannot connect: {type(error).__name__}") from None
    try:
        async with asyncio.timeout(OPENING_TIME):
            await _open(stream, Opening(hostname, wants_tls=tls is not None), tls)
    except BaseException as error:
        stream.close()
        if isinstance(error, (OSError, TimeoutError)):
            raise NotReached(f"broken before the first message: {type(error).__name__}") from None
        raise
    return stream


async def _open(stream: Stream, opening: Opening, tls: ssl.SSLContext | None) -> None:
    while True:
        event = opening.next_event()
        if isinstance(event, NotOpened):
            raise NotReached(event.why, event.reply)
        if not isinstance(event, Waiting):
            break
        await stream.write(opening.data_to_send())
        opening.receive_data(await stream.read())
    if isinstance(event, HandshakeDue):
        assert tls is not None
        try:
            async with asyncio.timeout(HANDSHAKE_TIME):
                await stream.start_tls(tls, server_side=False)
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            raise HandshakeFailed(f"TLS: {type(error).__name__}") from None


async def converse(
    stream: Stream,
    hostname: str,
    messages: list[tuple[Transaction, bytes]],
    heard: Callable[[int, Outcome], None],
    may_go_on: Callable[[], bool],
) -> str:
    """Sends messages of one recipient each; `heard` is told what became of each by its key. Gives why the session ended.

    Nothing is begun, and no last octet said, when `may_go_on` says no.
    """
    sender = SmtpSender(hostname, may_pipeline=False, is_greeted=True)
    content = {transaction.key: octets for transaction, octets in messages}
    waiting = [transaction for transaction, _ in reversed(messages)]
    turn: tuple[int, Step | None] = (-1, None)
    deadline = 0.0
    while True:
        match sender.next_event():
            case Waiting():
                if turn != (sender.replies, sender.waits_for):  # octets alone buy no time
                    turn = (sender.replies, sender.waits_for)
                    deadline = asyncio.get_running_loop().time() + REPLY_TIME[sender.waits_for or Step.QUIT]
                await _exchange(stream, sender, deadline)
            case Ready():
                if waiting and may_go_on():
                    sender.begin(waiting.pop())
                else:
                    sender.quit()
            case ContentWanted(key):
                sender.write_content(content[key])
                if may_go_on():
                    sender.end_content()
                else:
                    sender.abort("the lease is not trusted any more")
            case Finished(key, outcomes):
                heard(key, outcomes[0])
            case SenderEnded(_, why):
                return why


async def _exchange(stream: Stream, sender: SmtpSender, deadline: float) -> None:
    try:
        async with asyncio.timeout_at(deadline):
            await stream.write(sender.data_to_send())
            sender.receive_data(await stream.read())
    except TimeoutError:
        sender.abort("no reply in time")
    except OSError:
        sender.receive_data(b"")
