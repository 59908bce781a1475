"""Certificates that customers prove themselves with: what a port that asks for them loads as anchors. DESIGN, decided 16."""

import hashlib

from shared.storage.engine import Pool


class Anchors:
    """Reads those that were registered; who may use one auth decides anew each time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._count = 0
        self._loaded: set[bytes] = set()

    async def unseen(self) -> list[bytes]:
        """Certificates (DER) that no earlier call gave. One cheap look where nothing was registered since."""
        count = await self._pool.fetchval("SELECT count(*) FROM credentials WHERE certificate IS NOT NULL")
        if count == self._count:
            return []
        rows = await self._pool.fetch(
            "SELECT certificate FROM credentials WHERE certificate IS NOT NULL AND revoked_at IS NULL "
            "AND NOT certificate_sha256 = ANY($1::bytea[])",
            list(self._loaded),
        )
        found = [bytes(row["certificate"]) for row in rows]
        self._loaded.update(hashlib.sha256(der).digest() for der in found)
        self._count = count
        return found
