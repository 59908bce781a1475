"""One message from MAIL to our reply to its content. RFC 5321 3.3, 4.4, 6.1.

A 250 is said only when the commit is durable; it then may be that the sender never hears it, and sends again.
"""

import asyncio
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Final

import structlog
from opentelemetry.trace import SpanKind

from services.inbound.content import IncomingContent
from services.inbound.parts import Parts
from services.inbound.policy import Peer, refuse_header
from shared import metrics, tracing
from shared.bus.subjects import mail_queued
from shared.domain.message import Message, Recipient
from shared.domain.names import BadName, MessageId, RecipientId, domain_name
from shared.failpoint import failpoint
from shared.protocol import reply as r
from shared.protocol.grammar import Path, is_domain
from shared.protocol.reply import Reply
from shared.storage.accept import NotAccepted
from shared.storage.hosted import HostedDomain

log = structlog.get_logger()

#: Octets of a HELO name that the Received line repeats.
MAX_HELO: Final = 255


@dataclass(frozen=True, slots=True)
class Envelope:
    """What MAIL said: `size` as SIZE told it, else 0; `dsn_parameters` in wire form (shared.protocol.notification)."""

    reverse_path: Path
    dsn_parameters: str = ""
    is_smtputf8: bool = False
    size: int = 0


class Transaction:
    """Used by one connection. What it raises is a fault of ours: 451. `protocol` is what Received says (RFC 3848)."""

    def __init__(self, parts: Parts, peer: Peer, envelope: Envelope, protocol: str) -> None:
        self._parts = parts
        self._peer = peer
        self.envelope = envelope
        self._protocol = protocol
        self._id = MessageId(parts.clock.new_id())
        self._span = tracing.first(self._id, "smtp.receive")
        self._recipients: dict[str, Recipient] = {}
        self._content = IncomingContent(parts.uploads, self._id, parts.max_message)
        self._accepting: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """How many recipients were taken."""
        return len(self._recipients)

    async def check_reverse_path(self) -> Reply | None:
        """Why a check refuses MAIL, or None."""
        for check in self._parts.checks:
            if (refusal := await check.reverse_path(self._peer, self.envelope.reverse_path)) is not None:
                return refusal
        return None

    async def add_recipient(self, path: Path, dsn_parameters: str) -> Reply | None:
        """Takes a recipient of a hosted domain; the same one twice is taken once. Gives why not, or None."""
        if not path.domain:  # RFC 5321 4.5.1: the bare <postmaster> is who runs this server
            if self._parts.postmaster is None:
                return r.S550_UNKNOWN_RECIPIENT
            path = self._parts.postmaster
        hosted = await self._hosted(path)
        if hosted is None:
            return r.S550_NO_RELAY
        if hosted.receiving != "hold":
            return r.S450_SUSPENDED if hosted.receiving == "tempfail" else r.S550_SUSPENDED
        if not hosted.knows:
            return r.S550_UNKNOWN_RECIPIENT
        most = hosted.plan_max_message_bytes
        if most is not None and self.envelope.size > most:
            return r.S552_TOO_BIG
        if await self._parts.quotas.is_hour_full(hosted):
            return r.S450_HOUR_IS_FULL
        if await self._parts.quotas.is_full(hosted):
            return r.S452_MAILBOX_FULL
        for check in self._parts.checks:
            if (refusal := await check.forward_path(self._peer, path)) is not None:
                return refusal
        self._content.limit(most)
        key = f"{path.local_part}@{hosted.name}"
        if key not in self._recipients:
            recipient_id = RecipientId(self._parts.clock.new_id())
            self._recipients[key] = Recipient(
                recipient_id, hosted.customer_id, hosted.id, hosted.name, key, dsn_parameters
            )
        return None

    async def _hosted(self, path: Path) -> HostedDomain | None:
        try:
            name = path.domain if path.domain.isascii() else domain_name(path.domain)
        except BadName:
            return None
        return await self._parts.hosted.find(name, path.local_part)

    async def begin_content(self) -> None:
        """Prepends our Received line. RFC 5321 4.4."""
        await self._content.prepend(self._received())

    async def add_content(self, piece: bytes) -> None:
        """A piece of content, unstuffed."""
        if piece:
            await self._content.add(piece)

    async def accept(self, *, has_bare_line_ends: bool) -> Reply:
        """The reply to the content: 250 when it is durable, else why not."""
        refusal = self._refusal() or await self._checked()
        if has_bare_line_ends and not self._parts.takes_bare_line_ends:
            refusal = refusal or r.S550_BARE_LINE_END
        if refusal is not None:
            await self._content.drop()
            return refusal
        small = await self._content.finish()
        if self._content.error is not None:
            log.error("content.not_kept", error=f"{type(self._content.error).__name__}: {self._content.error}")
            await self._forget()
            return r.S451_LOCAL_TROUBLE
        message = Message(
            id=self._id,
            reverse_path=str(self.envelope.reverse_path),
            recipients=tuple(self._recipients.values()),
            size=self._content.size,
            sha256=self._content.sha256,
            has_eight_bit=self._content.has_eight_bit,
            helo=self._peer.helo,
            peer=self._peer.address,
            dsn_parameters=self.envelope.dsn_parameters,
            needs_smtputf8=self._needs_smtputf8(),
            content=small,
        )
        self._accepting = asyncio.create_task(self._accept(message))
        try:
            await asyncio.shield(self._accepting)  # a sender that hangs up does not take the commit with it
        except NotAccepted as error:
            log.error("message.not_accepted", message_id=str(self._id), error=str(error))
            return r.S451_LOCAL_TROUBLE
        return Reply(250, "2.0.0", (f"OK queued as {self._id.hex}",))

    def answered(self, reply: Reply) -> None:
        """Our reply has left."""
        tracing.end(self._span, smtp__reply=reply.code, odmr__octets=self._content.size, odmr__recipients=self.count)
        if reply.is_positive:
            failpoint("inbound.after_250")

    async def drop(self) -> None:
        """Nothing came of it, and the sender heard no reply to it."""
        tracing.end(self._span)
        await self._forget()

    async def _forget(self) -> None:
        """A failure here leaves the rest to the orphan sweep."""
        try:
            await self._content.drop()
        except Exception as error:
            log.warning("upload.not_dropped", error=f"{type(error).__name__}: {error}")

    async def _accept(self, message: Message) -> None:
        with tracing.span(message.id, "store message"):
            await self._parts.acceptor.accept(message)
        metrics.INBOUND_BYTES.observe(message.size)
        log.info("message.stored", message_id=str(message.id), size=message.size, recipients=len(message.recipients))
        failpoint("inbound.before_publish")
        for customer_id in {recipient.customer_id for recipient in message.recipients}:
            with tracing.span(message.id, "send mail.queued", SpanKind.PRODUCER):
                await self._parts.bus.publish(mail_queued(customer_id), message.id.bytes)

    def _needs_smtputf8(self) -> bool:
        """Whether the customer's server must know RFC 6531: what was declared and is ASCII after all goes to any."""
        paths = [str(self.envelope.reverse_path), *self._recipients]
        return self.envelope.is_smtputf8 and not (self._content.header.isascii() and all(x.isascii() for x in paths))

    def _refusal(self) -> Reply | None:
        if self._content.is_too_big:
            return r.S552_TOO_BIG
        if self._content.has_long_header:
            return r.S554_HEADER_TOO_BIG
        return refuse_header(bytes(self._content.header))

    async def _checked(self) -> Reply | None:
        for check in self._parts.checks:
            if (refusal := await check.header(self._peer, bytes(self._content.header))) is not None:
                return refusal
        return None

    def _received(self) -> bytes:
        helo = self._peer.helo[:MAX_HELO]
        protocol = f"UTF8{self._protocol.removeprefix('E')}" if self.envelope.is_smtputf8 else self._protocol
        name = helo if is_domain(helo) else "unknown"  # nothing of the peer's stands in a header unproved
        address = f"IPv6:{self._peer.address}" if ":" in self._peer.address else self._peer.address
        return (
            f"Received: from {name} ([{address}])\r\n\tby {self._parts.hostname} with {protocol} id {self._id.hex};\r\n"
            f"\t{format_datetime(self._parts.clock.now())}\r\n"
        ).encode("ascii", "replace")
