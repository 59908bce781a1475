"""Fills a provider's queue without a sender: as many messages as a test needs, committed as inbound commits them."""

import asyncio
import hashlib

from localserve.provider import Provider
from shared.clock import Clock
from shared.domain.message import Message, Recipient
from shared.domain.names import CustomerId, DomainId, DomainName, MessageId, RecipientId
from shared.storage.accept import Acceptor
from shared.storage.engine import create_pool
from tests.flows.sender import content

#: Messages that are accepted at once, and so in one statement: what is accepted side by side has no order.
BATCH = 200


async def fill(provider: Provider, names: list[str], domains: list[str], size: int = 0) -> None:
    """One message a name, for the domains in turn; content of at least `size` octets."""
    pool, clock = await create_pool(provider.database_url), Clock()
    rows = await pool.fetch("SELECT id, customer_id, name FROM domains WHERE name = ANY($1)", domains)
    hosted = {row["name"]: row for row in rows}
    acceptor = Acceptor(pool)
    acceptor.start()
    filler = b"x" * 76 + b"\r\n"

    def message(i: int, name: str) -> Message:
        row = hosted[domains[i % len(domains)]]
        octets = content(name) + filler * (size // len(filler))
        recipient = Recipient(
            RecipientId(clock.new_id()),
            CustomerId(row["customer_id"]),
            DomainId(row["id"]),
            DomainName(row["name"]),
            f"user@{row['name']}",
        )
        digest = hashlib.sha256(octets).digest()
        return Message(
            MessageId(clock.new_id()),
            "a@remote.example",
            (recipient,),
            len(octets),
            digest,
            False,
            "x",
            "127.0.0.1",
            content=octets,
        )

    for start in range(0, len(names), BATCH):
        batch = enumerate(names[start : start + BATCH], start)
        await asyncio.gather(*(acceptor.accept(message(i, name)) for i, name in batch))
    await acceptor.close()
    await pool.close()
