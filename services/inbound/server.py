"""One connection to the MX. aiosmtpd's vocabulary and EHLO; its loop, DATA and addresses are our own.

RFC 5321. Security: talks to strangers. Whole buffers are read, never a list of lines; each limit is in policy. What aiosmtpd
1.4.6 does otherwise was measured (RELIABILITY 2, A1 to A14) and has a test by that name.
"""

import asyncio
from typing import Any, Final

import structlog
from aiosmtpd.smtp import SMTP

from services.inbound import policy
from services.inbound.handler import Handler, reply_text
from services.inbound.parts import Parts
from services.inbound.policy import Peer
from services.inbound.transaction import Transaction
from shared.clock import Clock
from shared.protocol import reply as r
from shared.protocol.dotstuff import ContentReader
from shared.protocol.grammar import BadSyntax, parse_command, parse_mail, parse_rcpt
from shared.protocol.reply import Reply
from shared.protocol.wire import MAX_SMTP_LINE, LineBuffer, LineTooLong

log = structlog.get_logger()

#: Octets read at once, and kept unread by the transport before it waits.
READ_SIZE: Final = 64 * 1024
#: Seconds without a command. RFC 5321 4.5.3.2.7: five minutes.
IDLE_TIME: Final = 300.0
#: Seconds without a byte in DATA, and the least average rate after the first of them. RELIABILITY 8.
DATA_SILENCE: Final = 180.0
LEAST_RATE: Final = 500
#: Seconds for a reply to be taken.
WRITE_TIME: Final = 60.0
#: Seconds that one connection may last in all: a day holds any mail.
CONNECTION_TIME: Final = 86_400.0

#: aiosmtpd's methods that we let strangers call.
_COMMANDS: Final = ("EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "QUIT")
_KNOWN: Final = frozenset({*_COMMANDS, "EXPN", "HELP", "BDAT", "AUTH", "STARTTLS", "ETRN", "TURN", "ATRN"})


class PeerGone(Exception):
    """The line is broken, or the sender sleeps. A class of its own: a database that does not answer is no such thing."""


class InboundConnection(SMTP):
    """One sender. The envelope is our own, in `_transaction`."""

    line_length_limit = READ_SIZE

    def __init__(self, parts: Parts) -> None:
        super().__init__(
            Handler(), data_size_limit=parts.max_message, hostname=parts.hostname, ident="", timeout=CONNECTION_TIME
        )
        self._parts = parts
        self._clock: Clock = parts.clock
        self._lines = LineBuffer(MAX_SMTP_LINE)
        self._out = bytearray()
        self._transaction: Transaction | None = None
        self._errors = 0
        self._overshoot = 0
        self._junk = 0
        self._is_idle = False
        self._is_over = False
        self._address = ""

    # --- the life of the connection -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts itself in."""
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._parts.connections.add(self, self._address)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Counts itself out."""
        self._parts.connections.remove(self, self._address)
        super().connection_lost(error)

    def eof_received(self) -> bool:
        """A sender that closes its half still hears our replies; aiosmtpd would cancel what runs (A8)."""
        self._reader.feed_eof()
        return True

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
            try:
                self._writer.write(data)
                async with asyncio.timeout(WRITE_TIME):
                    await self._writer.drain()
            except OSError as error:
                raise PeerGone(f"{type(error).__name__}: {error}") from None

    async def _say(self, reply: Reply) -> None:
        await self.push(reply_text(reply))

    async def _read(self, seconds: float) -> bytes:
        await self._flush()
        try:
            async with asyncio.timeout(seconds):
                data: bytes = await self._reader.read(READ_SIZE)
        except TimeoutError:
            await self._say(r.S421_IDLE)
            await self._flush()
            raise PeerGone(f"nothing for {seconds:.0f} s") from None
        except OSError as error:
            raise PeerGone(f"{type(error).__name__}: {error}") from None
        return data

    async def _handle_client(self) -> None:
        structlog.contextvars.bind_contextvars(peer=self._address)
        try:
            await self._converse()
        except PeerGone as error:
            log.info("connection.broken", error=str(error))
        finally:
            if self._transaction is not None:
                await self._transaction.drop()
            self._writer.close()

    async def _converse(self) -> None:
        refusal = self._parts.connections.refuse(self._address) or await self._checked_connect()
        if refusal is not None:
            await self._say(refusal)
            await self._flush()
            return
        await self._say(r.greeting(self.hostname, "ESMTP"))
        while not self._is_over:
            try:
                line = await self._next_line()
            except LineTooLong:
                await self._refuse(r.S500_LINE_TOO_LONG, "line too long")
                continue
            if line is None:
                break
            await self._command(line)
        if self._parts.connections.is_stopping:
            await self._say(r.S421_SHUTTING_DOWN)
        await self._flush()

    async def _checked_connect(self) -> Reply | None:
        for check in self._parts.checks:
            if (refusal := await check.connected(Peer(self._address))) is not None:
                return refusal
        return None

    async def _next_line(self) -> bytes | None:
        while (line := self._lines.next_line()) is None:
            self._is_idle = self._transaction is None
            try:
                data = await self._read(IDLE_TIME)
            finally:
                self._is_idle = False
            if not data:
                return None
            self._lines.feed(data)
        return line

    # --- commands -----------------------------------------------------------------------------------------------------

    async def _command(self, line: bytes) -> None:
        try:
            command = parse_command(line)
        except BadSyntax as error:
            await self._refuse(r.S500_UNKNOWN_COMMAND, str(error))
            return
        if command.verb not in _COMMANDS:
            known = command.verb in _KNOWN
            await self._refuse(r.S502_NOT_HERE if known else r.S500_UNKNOWN_COMMAND, command.verb)
            return
        try:
            await getattr(self, f"smtp_{command.verb}")(command.argument)
        except PeerGone:
            raise
        except Exception as error:  # the sender keeps its mail, and nothing of this one is left (A6, A7)
            await self._reset()
            await self.push(await self.event_handler.handle_exception(error))

    async def _refuse(self, reply: Reply, why: str) -> None:
        log.debug("command.refused", why=why, reply=str(reply))
        self._errors += reply.is_permanent
        self._overshoot += reply.is_temporary
        if self._errors > policy.HARD_ERRORS or self._overshoot > policy.MAX_OVERSHOOT:
            await self._say(r.S421_TOO_MANY_ERRORS)
            self._is_over = True
            return
        await self._say(reply)
        if self._errors > policy.SOFT_ERRORS:
            await self._flush()
            await asyncio.sleep(policy.ERROR_SLEEP)

    async def _moved_nothing(self) -> bool:
        self._junk += 1
        if self._junk > policy.MAX_JUNK:
            await self._say(r.S421_TOO_MANY_ERRORS)
            self._is_over = True
        return self._is_over

    async def _reset(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            await transaction.drop()

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 - aiosmtpd's name
        """Resets, then as aiosmtpd has it. RFC 5321 4.1.4."""
        if not hostname:
            await self._refuse(r.S501_SYNTAX, "EHLO without a name")
        elif not await self._moved_nothing():
            await self._reset()
            await super().smtp_EHLO(hostname)

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802
        """Resets, then as aiosmtpd has it."""
        if not hostname:
            await self._refuse(r.S501_SYNTAX, "HELO without a name")
        elif not await self._moved_nothing():
            await self._reset()
            await super().smtp_HELO(hostname)

    async def smtp_NOOP(self, _argument: str) -> None:  # noqa: N802
        """RFC 5321 4.1.1.9."""
        if not await self._moved_nothing():
            await self._say(r.S250_OK)

    async def smtp_RSET(self, _argument: str) -> None:  # noqa: N802
        """RFC 5321 4.1.1.5."""
        if not await self._moved_nothing():
            await self._reset()
            await self._say(r.S250_OK)

    async def smtp_VRFY(self, _argument: str) -> None:  # noqa: N802
        """RFC 5321 3.5.3: 252 tells nothing."""
        if not await self._moved_nothing():
            await self._say(r.S252_CANNOT_VERIFY)

    async def smtp_QUIT(self, _argument: str) -> None:  # noqa: N802
        """RFC 5321 4.1.1.10."""
        await self._reset()
        await self._say(r.S221_BYE)
        self._is_over = True

    async def smtp_MAIL(self, argument: str) -> None:  # noqa: N802
        """Begins a transaction. RFC 5321 4.1.1.2."""
        session = self.session
        helo = session.host_name if session else None
        if session is None or not helo:
            await self._refuse(r.S503_EHLO_FIRST, "MAIL before EHLO")
            return
        if self._transaction is not None:
            await self._refuse(r.S503_NESTED_MAIL, "nested MAIL")
            return
        try:
            command = parse_mail(argument)
        except BadSyntax as error:
            await self._refuse(r.S501_BAD_ADDRESS, str(error))
            return
        refusal = policy.refuse_mail(command, self._parts.max_message)
        transaction = Transaction(self._parts, Peer(self._address, helo), command.path, session.extended_smtp)
        refusal = refusal or await transaction.check_reverse_path()
        if refusal is not None:
            await self._refuse(refusal, "MAIL")
            return
        self._transaction = transaction
        await self._say(r.S250_REVERSE_PATH_OK)

    async def smtp_RCPT(self, argument: str) -> None:  # noqa: N802
        """Adds a recipient. RFC 5321 4.1.1.3."""
        if self._transaction is None:
            await self._refuse(r.S503_MAIL_FIRST, "RCPT before MAIL")
            return
        try:
            command = parse_rcpt(argument)
        except BadSyntax as error:
            await self._refuse(r.S501_BAD_ADDRESS, str(error))
            return
        refusal = policy.refuse_rcpt(command, self._transaction.count)
        refusal = refusal or await self._transaction.add_recipient(command.path)
        if refusal is not None:
            await self._refuse(refusal, f"RCPT {command.path}")
            return
        await self._say(r.S250_RECIPIENT_OK)

    async def smtp_DATA(self, argument: str) -> None:  # noqa: N802
        """Takes the content and makes it ours, or not. RFC 5321 4.1.1.4, 6.1."""
        transaction = self._transaction
        if transaction is None:
            await self._refuse(r.S503_MAIL_FIRST, "DATA before MAIL")
            return
        if argument:
            await self._refuse(r.S501_SYNTAX, "DATA with an argument")
            return
        if not transaction.count:
            await self._refuse(r.S503_RCPT_FIRST, "DATA before RCPT")
            return
        await self._say(r.S354_GO_AHEAD)
        if await self._take_content(transaction):
            self._transaction = None
            reply = await transaction.accept()
            await self._say(reply)
            await self._flush()
            transaction.answered(reply)

    async def _take_content(self, transaction: Transaction) -> bool:
        """Reads to the end of data. A sender that is far over the limit, or falls asleep, is cut off."""
        await transaction.begin_content()
        reader = ContentReader()
        data = self._lines.take_rest()
        began, received = self._clock.monotonic(), 0
        while True:
            await transaction.add_content(reader.feed(data))
            if reader.is_complete:
                self._lines.push_back(reader.rest)
                return True
            data = await self._read(DATA_SILENCE)
            if not data:
                raise PeerGone("the sender closed in DATA")
            received += len(data)
            elapsed = self._clock.monotonic() - began
            cut = r.S552_TOO_BIG if received > 2 * self._parts.max_message else None
            if elapsed > DATA_SILENCE and received < LEAST_RATE * elapsed:
                cut = r.S421_IDLE
            if cut is not None:
                self._is_over = True
                await self._say(cut)
                return False


def factory(parts: Parts) -> Any:
    """What the event loop calls for each connection."""
    return lambda: InboundConnection(parts)
