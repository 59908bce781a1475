"""Messages as an operator or customer sees them: what the spool holds, and what happened to each, from the events.

Only recipients that the principal may see are shown: a message for two customers shows neither the other's.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, func, select

from shared.domain.access import Principal, Role
from shared.domain.names import CustomerId, MessageId, SessionId
from shared.storage.reading import Nouns, newest_first, visible_to
from shared.storage.tables import content, customers, domains, events, messages, recipients


@dataclass(frozen=True, slots=True)
class ShownRecipient:
    """One forward-path, and where it stands. `next_at` and what follows are None once it has left the spool."""

    forward_path: str
    state: str
    attempts: int | None
    next_at: datetime | None
    is_uncertain: bool | None
    last_reply: str


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to a message."""

    at: datetime
    type: str
    forward_path: str
    session_id: SessionId | None
    detail: str


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message. Envelope and size are None once it has left the spool; its timeline stays."""

    id: MessageId
    reverse_path: str | None
    size: int | None
    received_at: datetime
    recipients: tuple[ShownRecipient, ...]
    timeline: tuple[Moment, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages of the spool; None leaves a question open."""

    customer_id: CustomerId | None = None
    domain: str | None = None
    state: str | None = None
    reverse_path: str | None = None
    since: datetime | None = None


#: Rows up to which a list begins with the domains'; with more a page is full after as many messages as it has share in them.
FEW: Final = 5_000
_r, _m, _e, _k = recipients.c, messages.c, events.c, content.c


class Messages(Nouns):
    """Reads them."""

    async def page(
        self, principal: Principal, wanted: Filter, after: MessageId | None, limit: int
    ) -> list[ShownMessage]:
        """Messages of the spool, newest first, those behind `after`."""
        few = await self._few_domains(principal, wanted)
        query = _ids_in(few, wanted) if few is not None else _ids(principal, wanted)
        query = newest_first(query, messages.c.id, after, limit)
        ids = [row["id"] for row in await self._all(query)]
        return await self._in_spool(principal, ids)

    async def _few_domains(self, principal: Principal, wanted: Filter) -> list[UUID] | None:
        """The domains that are asked for, when they have fewer than FEW rows in all; else None."""
        if principal.role is Role.OPERATOR and wanted.customer_id is None and wanted.domain is None:
            return None
        query = select(domains.c.id).join(customers, customers.c.id == domains.c.customer_id)
        query = query.where(visible_to(principal)).limit(FEW)
        if wanted.customer_id is not None:
            query = query.where(domains.c.customer_id == wanted.customer_id)
        if wanted.domain is not None:
            query = query.where(domains.c.name == wanted.domain)
        found = [row["id"] for row in await self._all(query)]
        if not found:  # the system's own mail is for domains that are nobody's
            return None
        some = select(_r.id).where(_r.domain_id.in_(found)).limit(FEW).subquery()
        row = await self._one(select(func.count().label("count")).select_from(some))
        return found if row is not None and row["count"] < FEW and len(found) < FEW else None

    async def find(self, principal: Principal, message_id: MessageId) -> ShownMessage | None:
        """A message with its timeline, also when it has left the spool; None when the principal may see nothing of it."""
        timeline, states = await self._timeline(principal, message_id)
        here = await self._in_spool(principal, [message_id])
        if here:
            known = here[0]
            return ShownMessage(known.id, known.reverse_path, known.size, known.received_at, known.recipients, timeline)
        if not timeline:
            return None
        gone = tuple(ShownRecipient(path, state, None, None, None, reply) for path, state, reply in states)
        return ShownMessage(message_id, None, None, timeline[0].at, gone, timeline)

    async def size(self, principal: Principal, message_id: MessageId) -> int | None:
        """Octets of a message whose content is here; None when the principal may see nothing of it."""
        query = (
            select(_m.size)
            .join(recipients, _r.message_id == _m.id)
            .outerjoin(customers, customers.c.id == _r.customer_id)
            .where(_m.id == message_id, visible_to(principal))
        )
        row = await self._one(query)
        return int(row["size"]) if row else None

    async def content(self, message_id: MessageId) -> AsyncIterator[bytes]:
        """Its chunks, in order, one in memory at a time."""
        seq = 0
        while True:
            row = await self._one(select(_k.bytes).where(_k.message_id == message_id, _k.seq == seq))
            if row is None:
                return
            yield row["bytes"]
            seq += 1

    async def _in_spool(self, principal: Principal, ids: Sequence[UUID]) -> list[ShownMessage]:
        query = (
            select(
                _m.id, _m.reverse_path, _m.size, _m.received_at, _r.forward_path, _r.state, _r.attempts, _r.next_at,
                _r.is_uncertain, _r.last_reply,
            )
            .join(recipients, _r.message_id == _m.id)
            .outerjoin(customers, customers.c.id == _r.customer_id)  # the system's own mail is nobody's
            .where(_m.id.in_(ids), visible_to(principal))
            .order_by(_m.id.desc(), _r.id)
        )  # fmt: skip
        found: dict[UUID, list[Any]] = {}
        for row in await self._all(query):
            found.setdefault(row["id"], []).append(row)
        return [
            ShownMessage(
                MessageId(message_id),
                rows[0]["reverse_path"],
                rows[0]["size"],
                rows[0]["received_at"],
                tuple(ShownRecipient(*(row[name] for name in ShownRecipient.__slots__)) for row in rows),
            )
            for message_id, rows in found.items()
        ]

    async def _timeline(
        self, principal: Principal, message_id: MessageId
    ) -> tuple[tuple[Moment, ...], list[tuple[str, str, str]]]:
        """What happened, and of each recipient the forward-path, the state that its last event left, and the reply then."""
        query = (
            select(_e.at, _e.type, _e.recipient_id, _e.session_id, _e.detail)
            .outerjoin(customers, customers.c.id == _e.customer_id)
            .where(_e.message_id == message_id, visible_to(principal))
            .order_by(_e.at, _e.recipient_id, _e.id)
        )
        rows = await self._all(query)
        paths = {row["recipient_id"]: row["detail"] for row in rows if row["type"] == "message.received"}
        last = {row["recipient_id"]: (row["type"], row["detail"]) for row in rows if row["type"].startswith("message.")}
        moments = tuple(
            Moment(
                row["at"],
                row["type"],
                paths.get(row["recipient_id"], ""),
                row["session_id"],
                "" if row["type"] == "message.received" else row["detail"],
            )
            for row in rows
        )
        return moments, [(path, _state(last[one][0]), _reply(*last[one])) for one, path in paths.items()]


def _state(event: str) -> str:
    word = event.removeprefix("message.")
    return "queued" if word in ("received", "deferred", "released", "retried") else word


def _reply(event: str, detail: str) -> str:
    return "" if event == "message.received" else detail


def _ids_in(found: Sequence[UUID], wanted: Filter) -> Select[Any]:
    """Messages from the rows of these domains, by their index: a page of a small customer reads its own mail only."""
    rows = select(_r.message_id).where(_r.domain_id.in_(found))
    if wanted.state is not None:
        rows = rows.where(_r.state == wanted.state)
    query = select(_m.id).where(_m.id.in_(rows))
    if wanted.reverse_path is not None:
        query = query.where(_m.reverse_path == wanted.reverse_path)
    return query.where(_m.received_at >= wanted.since) if wanted.since is not None else query


def _ids(principal: Principal, wanted: Filter) -> Select[Any]:
    """Messages of which the principal may see a recipient that fits."""
    fits = [visible_to(principal), _r.message_id == _m.id]
    if wanted.customer_id is not None:
        fits.append(_r.customer_id == wanted.customer_id)
    if wanted.domain is not None:
        fits.append(_r.domain == wanted.domain)
    if wanted.state is not None:
        fits.append(_r.state == wanted.state)
    one = select(_r.id).outerjoin(customers, customers.c.id == _r.customer_id).where(*fits).exists()
    query = select(_m.id).where(one)
    if wanted.reverse_path is not None:
        query = query.where(_m.reverse_path == wanted.reverse_path)
    return query.where(_m.received_at >= wanted.since) if wanted.since is not None else query
