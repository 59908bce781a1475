"""One connection to the MX. aiosmtpd's vocabulary and EHLO; its loop, DATA and addresses are our own.

RFC 5321. Security: talks to strangers. Whole buffers are read, never a list of lines; each limit is in policy. What aiosmtpd
1.4.6 does otherwise was measured (RELIABILITY 2, A1 to A14) and has a test by that name.
"""

import asyncio
from typing import Any, Final

import structlog
from aiosmtpd.smtp import Session

from services.inbound import policy
from services.inbound.line import Line, PeerGone
from services.inbound.parts import Parts
from services.inbound.policy import Peer
from services.inbound.transaction import Envelope, Transaction
from shared import metrics
from shared.protocol import notification
from shared.protocol import reply as r
from shared.protocol.dotstuff import ContentReader
from shared.protocol.grammar import BadSyntax, parse_command, parse_mail, parse_rcpt
from shared.protocol.reply import Reply
from shared.protocol.wire import LineTooLong

log = structlog.get_logger()

#: Seconds without a byte in DATA, and the least average rate after the first of them. RELIABILITY 8.
DATA_SILENCE: Final = 180.0
LEAST_RATE: Final = 500

#: aiosmtpd's methods that we let strangers call.
_COMMANDS: Final = ("EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "STARTTLS", "QUIT")
_KNOWN: Final = frozenset({*_COMMANDS, "EXPN", "HELP", "BDAT", "AUTH", "ETRN", "TURN", "ATRN"})


class InboundConnection(Line):
    """One sender. The envelope is our own, in `_transaction`."""

    def __init__(self, parts: Parts, client: str = "") -> None:
        super().__init__(parts, client)
        self._transaction: Transaction | None = None
        self._errors = 0
        self._overshoot = 0
        self._junk = 0

    def may_be_shut_down(self) -> bool:
        """Between transactions."""
        return self._transaction is None

    async def drop(self) -> None:
        """The line is over: a transaction that was begun comes to nothing."""
        if self._transaction is not None:
            await self._transaction.drop()

    async def converse(self) -> None:
        """From the greeting to the end."""
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

    # --- commands -----------------------------------------------------------------------------------------------------

    async def _command(self, line: bytes) -> None:
        try:
            command = parse_command(line, may_be_utf8=line[:5].upper() in (b"MAIL ", b"RCPT "))
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

    async def smtp_STARTTLS(self, argument: str) -> None:  # noqa: N802
        """RFC 3207. What came behind it in clear is never run under TLS: it ends the connection."""
        if self._parts.tls is None:
            await self._refuse(r.S502_NOT_HERE, "no STARTTLS")
        elif self._tls_protocol is not None:
            await self._refuse(r.S503_TLS_ACTIVE, "STARTTLS under TLS")
        elif argument:
            await self._refuse(r.S501_SYNTAX, "STARTTLS with an argument")
        elif self._lines:
            self._is_over = True
            await self._say(r.S421_EARLY_BYTES)
        else:
            await self._reset()
            await self._say(r.S220_READY_FOR_TLS)
            await self._flush()
            await self._handshake(self._parts.tls)

    def _protocol_name(self, session: Session) -> str:
        """RFC 3848; the names of RFC 6531 4.3 are the transaction's to say."""
        if not session.extended_smtp:
            return "SMTP"
        return "ESMTPS" if self._tls_protocol is not None else "ESMTP"

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
            dsn_parameters = notification.of_mail(command.parameters)
        except BadSyntax as error:
            await self._refuse(_syntax_reply(error), str(error))
            return
        refusal = policy.refuse_mail(command, self._parts.max_message)
        size = 0 if refusal is not None else int(command.parameters.get("SIZE", "0"))
        envelope = Envelope(command.path, dsn_parameters, "SMTPUTF8" in command.parameters, size)
        transaction = Transaction(self._parts, Peer(self._address, helo), envelope, self._protocol_name(session))
        refusal = refusal or self._parts.space.refusal or await transaction.check_reverse_path()
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
            parameters = notification.of_rcpt(command.parameters)
        except BadSyntax as error:
            await self._refuse(_syntax_reply(error), str(error))
            return
        is_smtputf8 = self._transaction.envelope.is_smtputf8
        refusal = policy.refuse_rcpt(command, self._transaction.count, is_smtputf8=is_smtputf8)
        refusal = refusal or await self._transaction.add_recipient(command.path, parameters)
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
        reader = ContentReader()
        if await self._take_content(transaction, reader):
            self._transaction = None
            with metrics.INBOUND_STORE.time():
                reply = await transaction.accept(has_bare_line_ends=reader.has_bare_line_ends)
            metrics.INBOUND_MESSAGES.labels(_result(reply)).inc()
            await self._say(reply)
            await self._flush()
            transaction.answered(reply)

    async def _take_content(self, transaction: Transaction, reader: ContentReader) -> bool:
        """Reads to the end of data. A sender that is far over the limit, or falls asleep, is cut off."""
        await transaction.begin_content()
        data = self._lines.take_rest()
        began, received = self._parts.clock.monotonic(), 0
        while True:
            await transaction.add_content(reader.feed(data))
            if reader.is_complete:
                self._lines.push_back(reader.rest)
                return True
            data = await self._read(DATA_SILENCE)
            if not data:
                raise PeerGone("the sender closed in DATA")
            received += len(data)
            elapsed = self._parts.clock.monotonic() - began
            cut = r.S552_TOO_BIG if received > 2 * self._parts.max_message else None
            if elapsed > DATA_SILENCE and received < LEAST_RATE * elapsed:
                cut = r.S421_IDLE
            if cut is not None:
                self._is_over = True
                await self._say(cut)
                return False


def _result(reply: Reply) -> str:
    return "accepted" if reply.is_positive else "deferred" if reply.is_temporary else "rejected"


def _syntax_reply(error: BadSyntax) -> Reply:
    return r.S501_SYNTAX if isinstance(error, notification.BadParameters) else r.S501_BAD_ADDRESS


def factory(parts: Parts) -> Any:
    """What the event loop calls for each connection."""
    return lambda: InboundConnection(parts)
