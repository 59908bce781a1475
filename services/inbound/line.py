"""The line to one sender: its life, whole buffers in, gathered replies out, TLS. aiosmtpd's protocol underneath.

Security: talks to strangers; every wait has an end. What aiosmtpd 1.4.6 does otherwise was measured (RELIABILITY 2).
"""

import asyncio
import ssl
from abc import ABC, abstractmethod
from asyncio import sslproto
from typing import Final

import structlog
from aiosmtpd.smtp import SMTP

from services.inbound.handler import Handler
from services.inbound.parts import Parts
from shared import metrics
from shared.protocol import reply as r
from shared.protocol.reply import Reply
from shared.protocol.wire import MAX_SMTP_LINE, LineBuffer

log = structlog.get_logger()

#: Octets read at once, and kept unread by the transport before it waits.
READ_SIZE: Final = 64 * 1024
#: Seconds without a command. RFC 5321 4.5.3.2.7: five minutes.
IDLE_TIME: Final = 300.0
#: Seconds for a reply to be taken.
WRITE_TIME: Final = 60.0
#: Seconds for a TLS handshake.
HANDSHAKE_TIME: Final = 60.0
#: How often each kind of reply was said, by its first digit.
_REPLIES: Final = {digit: metrics.INBOUND_REPLIES.labels(f"{digit}xx") for digit in range(2, 6)}
#: Seconds that one connection may last in all: a day holds any mail.
CONNECTION_TIME: Final = 86_400.0


class PeerGone(Exception):
    """The line is broken, or the sender sleeps. A class of its own: a database that does not answer is no such thing."""


class Line(SMTP, ABC):
    """What a sender says comes by `_next_line` and `_read`; what it hears goes by `_say`, and out before the next read."""

    line_length_limit = READ_SIZE
    #: Seconds without a command.
    idle_time = IDLE_TIME

    def __init__(self, parts: Parts, client: str = "") -> None:
        """`client` is the sender's address where a balancer said it; else it is the connection's."""
        super().__init__(
            Handler(),
            tls_context=parts.tls,
            data_size_limit=parts.max_message,
            hostname=parts.hostname,
            ident="",
            timeout=CONNECTION_TIME,
        )
        self._parts = parts
        self._lines = LineBuffer(MAX_SMTP_LINE)
        self._out = bytearray()
        self._is_idle = False
        self._is_over = False
        self._address = client
        self._read_until: float | None = None
        self._watch: asyncio.TimerHandle | None = None

    @abstractmethod
    async def converse(self) -> None:
        """The whole dialogue. Raises PeerGone."""

    @abstractmethod
    async def drop(self) -> None:
        """The line is over: forgets what was begun."""

    @abstractmethod
    def may_be_shut_down(self) -> bool:
        """Whether nothing would be lost by closing now."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts itself in."""
        peer = transport.get_extra_info("peername")
        if self._original_transport is None:  # not the second time, for TLS
            self._address = self._address or (str(peer[0]) if peer else "")
            self._parts.connections.add(self, self._address)
        super().connection_made(transport)

    def eof_received(self) -> bool:
        """A sender that closes its half still hears our replies; aiosmtpd would cancel what runs (A8)."""
        self._reader.feed_eof()
        return self._tls_protocol is None  # under TLS there is no half-close

    def _reset_timeout(self, duration: float | None = None) -> None:
        """aiosmtpd's timer is the connection's whole life here; idle time is kept where we read."""
        if self._timeout_handle is None:
            super()._reset_timeout(duration)

    def shut_down(self) -> None:
        """SIGTERM: between commands say 421 and close; a transaction goes on to its reply."""
        self._is_over = True
        if self._is_idle and self.transport is not None:
            self._writer.write(r.S421_SHUTTING_DOWN.to_wire())
            self.transport.close()

    async def push(self, status: str | bytes) -> None:
        """Replies gather and go out together before we read again: one segment for EHLO or for a pipelined group."""
        self._out += (status if isinstance(status, bytes) else status.encode("ascii", "replace")) + b"\r\n"

    async def _flush(self) -> None:
        data = bytes(self._out)
        self._out.clear()
        if data:
            transport = self._writer.transport
            try:
                self._writer.write(data)
                if transport.get_write_buffer_size() or transport.is_closing():
                    async with asyncio.timeout(WRITE_TIME):
                        await self._writer.drain()
            except OSError as error:
                raise PeerGone(f"{type(error).__name__}: {error}") from None

    async def _say(self, reply: Reply) -> None:
        _REPLIES[reply.code // 100].inc()
        self._out += reply.to_wire()

    async def _read(self, seconds: float) -> bytes:
        await self._flush()
        self._watch_until(self.loop.time() + seconds)
        try:
            data: bytes = await self._reader.read(READ_SIZE)
        except TimeoutError:
            await self._say(r.S421_IDLE)
            await self._flush()
            raise PeerGone(f"nothing for {seconds:.0f} s") from None
        except OSError as error:
            raise PeerGone(f"{type(error).__name__}: {error}") from None
        finally:
            self._read_until = None
        return data

    def _watch_until(self, until: float) -> None:
        """One timer that looks again, where a timeout for each read would be a tenth of what a message costs."""
        self._read_until = until
        if self._watch is None or self._watch.when() > until:
            if self._watch is not None:
                self._watch.cancel()
            self._watch = self.loop.call_at(until, self._look)

    def _look(self) -> None:
        self._watch = None
        if self._read_until is None:
            return
        if self.loop.time() < self._read_until:
            self._watch = self.loop.call_at(self._read_until, self._look)
        else:
            self._reader.set_exception(TimeoutError())

    async def _handle_client(self) -> None:
        """aiosmtpd's entry; it ends with the connection, however that ends, and so the connection is counted out here."""
        structlog.contextvars.bind_contextvars(peer=self._address)
        try:
            await self.converse()
        except PeerGone as error:
            log.info("connection.broken", error=str(error))
        finally:
            try:
                await self.drop()
            finally:
                self._parts.connections.remove(self, self._address)
                for timer in (self._timeout_handle, self._watch):
                    if timer is not None:
                        timer.cancel()
                self._writer.close()

    async def _next_line(self) -> bytes | None:
        while (line := self._lines.next_line()) is None:
            self._is_idle = self.may_be_shut_down()
            try:
                data = await self._read(self.idle_time)
            finally:
                self._is_idle = False
            if not data:
                return None
            self._lines.feed(data)
        return line

    async def _handshake(self, context: ssl.SSLContext) -> None:
        """As aiosmtpd does it: its connection_made clears what came before, and begins a new session."""
        plain = self.transport
        assert isinstance(plain, asyncio.Transport)
        done: asyncio.Future[None] = self.loop.create_future()
        self._tls_protocol = sslproto.SSLProtocol(self.loop, self, context, done, server_side=True)
        self._original_transport = plain
        plain.set_protocol(self._tls_protocol)
        self.transport = self._tls_protocol._app_transport
        self._tls_protocol.connection_made(plain)
        try:
            async with asyncio.timeout(HANDSHAKE_TIME):
                await done
        except (OSError, ssl.SSLError) as error:
            plain.abort()
            raise PeerGone(f"TLS handshake: {type(error).__name__}: {error}") from None
