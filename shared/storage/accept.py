"""Accept: mail becomes ours when this commits. One statement for all messages that wait (group commit).

While one commit runs the next batch gathers; there is no timer. A data error in a batch retries each message alone. After
a lost COMMIT the id tells: the same rows are written again, and a duplicate key says that they were there.
"""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from shared.domain.message import Message
from shared.failpoint import failpoint
from shared.storage.engine import STATEMENT_TIMEOUT, Pool

#: Statements in flight. PERFORMANCE: 4 to 8.
WRITERS: Final = 4
#: Octets and messages of one batch. PERFORMANCE: about 1 MiB.
MAX_BATCH_BYTES: Final = 1 << 20
MAX_BATCH_MESSAGES: Final = 256
#: Seconds in which a lost connection is retried before the sender hears 451. RELIABILITY P2: 5 s.
RETRY_FOR: Final = 4.0
RETRY_EVERY: Final = 0.2

#: Takes the uploads that are still alive, writes the messages that have their content, their rows of the queue, what is
#: counted and what is told; gives the ids of the messages that were stored.
_ACCEPT: Final = """
WITH taken AS (
    DELETE FROM uploads u USING unnest($1::uuid[], $2::boolean[]) AS m(id, uploaded)
    WHERE m.uploaded AND u.message_id = m.id AND u.expires_at > now()
    RETURNING u.message_id
), stored AS (
    INSERT INTO messages
        (id, reverse_path, size, sha256, has_eight_bit, helo, peer, dsn_parameters, needs_smtputf8, received_at)
    SELECT m.id, m.reverse_path, m.size, m.sha256, m.has_eight_bit, m.helo, m.peer, m.dsn_parameters, m.needs_smtputf8, now()
    FROM unnest($1::uuid[], $2::boolean[], $3::text[], $4::bigint[], $5::bytea[], $6::boolean[], $7::text[], $8::text[],
        $17::text[], $18::boolean[])
        AS m(id, uploaded, reverse_path, size, sha256, has_eight_bit, helo, peer, dsn_parameters, needs_smtputf8)
    WHERE NOT m.uploaded OR m.id IN (SELECT message_id FROM taken)
    RETURNING id, size
), kept AS (
    INSERT INTO content (message_id, seq, bytes)
    SELECT c.message_id, 0, c.bytes FROM unnest($9::uuid[], $10::bytea[]) AS c(message_id, bytes)
), queued AS (
    INSERT INTO recipients
        (id, message_id, customer_id, domain_id, domain, forward_path, dsn_parameters, size, received_at, next_at)
    SELECT r.id, r.message_id, r.customer_id, r.domain_id, r.domain, r.forward_path, r.dsn_parameters, stored.size,
        now(), now()
    FROM unnest($11::uuid[], $12::uuid[], $13::uuid[], $14::uuid[], $15::text[], $16::text[], $19::text[])
        AS r(id, message_id, customer_id, domain_id, domain, forward_path, dsn_parameters)
    JOIN stored ON stored.id = r.message_id
    RETURNING id, message_id, customer_id, domain_id, size, forward_path
), counted AS (
    INSERT INTO usage (customer_id, domain_id, meter, amount)
    SELECT customer_id, domain_id, meter, sum(amount)
    FROM queued, LATERAL (VALUES ('messages_received', 1::bigint), ('bytes_received', size)) AS d(meter, amount)
    GROUP BY customer_id, domain_id, meter
), told AS (
    INSERT INTO events (type, customer_id, message_id, recipient_id, detail)
    SELECT 'message.received', customer_id, message_id, id, forward_path FROM queued
)
SELECT id FROM stored
"""


class NotAccepted(Exception):
    """The message is not ours, or nobody can say now; the sender hears 451 and keeps it."""


@dataclass(slots=True)
class _Waiting:
    message: Message
    done: asyncio.Future[None]

    @property
    def size(self) -> int:
        return len(self.message.content or b"")


class Acceptor:
    """Gathers messages and commits them together. `start` it, `accept` from any task, `close` it at the end."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._writers: list[asyncio.Task[None]] = []
        self._is_closing = False

    def start(self) -> None:
        """Starts the writers."""
        self._writers = [asyncio.create_task(self._write()) for _ in range(WRITERS)]

    async def close(self) -> None:
        """Lets the writers store what waits; what the database does not take in time hears NotAccepted."""
        self._is_closing = True
        self._wake.set()
        if self._writers:
            await asyncio.wait(self._writers, timeout=RETRY_FOR + STATEMENT_TIMEOUT)
        for writer in self._writers:
            writer.cancel()
        await asyncio.gather(*self._writers, return_exceptions=True)
        for waiting in self._waiting:
            if not waiting.done.done():
                waiting.done.set_exception(NotAccepted("shutting down"))

    async def accept(self, message: Message) -> None:
        """Returns when the message is durable. Raises NotAccepted.

        A caller that is cancelled meanwhile leaves the commit to go on: it may have happened (RELIABILITY 0.4).
        """
        waiting = _Waiting(message, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        await waiting.done

    async def _write(self) -> None:
        while self._waiting or not self._is_closing:
            await self._wake.wait()
            batch = self._gather()
            if batch:
                await self._store_and_answer(batch)

    def _gather(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < MAX_BATCH_MESSAGES:
            if batch and size + self._waiting[0].size > MAX_BATCH_BYTES:
                break
            batch.append(self._waiting.popleft())
            size += batch[-1].size
        if not self._waiting and not self._is_closing:
            self._wake.clear()
        return batch

    async def _store_and_answer(self, batch: list[_Waiting]) -> None:
        try:
            stored = await self._store([waiting.message for waiting in batch])
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            if len(batch) > 1:
                for waiting in batch:
                    await self._store_and_answer([waiting])
                return
            _answer(batch[0], await self._explain(batch[0].message, error))
        except Exception as error:  # whatever it is, the sender must hear of it, and the writer must go on
            for waiting in batch:
                _answer(waiting, NotAccepted(f"{type(error).__name__}: {error}"))
        else:
            for waiting in batch:
                here = waiting.message.id in stored
                _answer(waiting, None if here else NotAccepted("the upload has expired"))

    async def _explain(self, message: Message, error: Exception) -> NotAccepted | None:
        """A key that is there already is our own row, written before the connection was lost: it was accepted."""
        if isinstance(error, asyncpg.UniqueViolationError):
            with contextlib.suppress(Exception):
                if await self._pool.fetchval("SELECT true FROM messages WHERE id = $1", message.id):
                    return None
        return NotAccepted(f"{type(error).__name__}: {error}")

    async def _store(self, messages: list[Message]) -> frozenset[Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RETRY_FOR
        while True:
            try:
                failpoint("inbound.before_commit")
                rows = await self._pool.fetch(_ACCEPT, *_columns(messages))
                failpoint("inbound.after_commit")
                return frozenset(row["id"] for row in rows)
            except (
                OSError,
                TimeoutError,
                asyncpg.InterfaceError,
                asyncpg.PostgresConnectionError,
                asyncpg.OperatorInterventionError,
            ):
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(RETRY_EVERY)


def _answer(waiting: _Waiting, error: NotAccepted | None) -> None:
    if waiting.done.done():
        return
    if error is None:
        waiting.done.set_result(None)
    else:
        waiting.done.set_exception(error)


def _columns(messages: list[Message]) -> tuple[list[Any], ...]:
    """The messages as the arrays that _ACCEPT unnests."""
    inline = [m for m in messages if m.content is not None]
    rows = [(m, r) for m in messages for r in m.recipients]
    return (
        [m.id for m in messages],
        [m.content is None for m in messages],
        [m.reverse_path for m in messages],
        [m.size for m in messages],
        [m.sha256 for m in messages],
        [m.has_eight_bit for m in messages],
        [m.helo for m in messages],
        [m.peer for m in messages],
        [m.id for m in inline],
        [m.content for m in inline],
        [r.id for _, r in rows],
        [m.id for m, _ in rows],
        [r.customer_id for _, r in rows],
        [r.domain_id for _, r in rows],
        [r.domain for _, r in rows],
        [r.forward_path for _, r in rows],
        [m.dsn_parameters for m in messages],
        [m.needs_smtputf8 for m in messages],
        [r.dsn_parameters for _, r in rows],
    )
