"""Large content is written while it arrives, in short transactions, for an uploads row that is renewed as bytes come."""

from typing import Final

from shared.domain.names import MessageId
from shared.storage.engine import Pool

#: Octets of one row of content: what a message holds in memory before it becomes an upload. DESIGN, The spool.
CHUNK: Final = 256 * 1024
#: Seconds that an upload lives after its last bytes: longer than the longest silence inbound allows in DATA (180 s).
UPLOAD_TIME: Final = 300

#: Both add a chunk; the first begins the upload, the second renews it, and does nothing once it has expired.
_BEGIN: Final = """
WITH begun AS (
    INSERT INTO uploads (message_id, expires_at) VALUES ($1, now() + make_interval(secs => $4)) RETURNING message_id
)
INSERT INTO content (message_id, seq, bytes) SELECT message_id, $2, $3 FROM begun RETURNING seq
"""
_GO_ON: Final = """
WITH renewed AS (
    UPDATE uploads SET expires_at = now() + make_interval(secs => $4)
    WHERE message_id = $1 AND expires_at > now() RETURNING message_id
)
INSERT INTO content (message_id, seq, bytes) SELECT message_id, $2, $3 FROM renewed RETURNING seq
"""


class UploadExpired(Exception):
    """The sweep has taken the upload: the sender was silent for too long."""


class Uploads:
    """Adds chunks of content in order. A chunk never ends between CR and LF."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, message_id: MessageId, seq: int, chunk: bytes) -> None:
        """Writes chunk number `seq`, from 0. Raises UploadExpired."""
        statement = _GO_ON if seq else _BEGIN
        if await self._pool.fetchval(statement, message_id, seq, chunk, UPLOAD_TIME) is None:
            raise UploadExpired

    async def drop(self, message_id: MessageId) -> None:
        """Forgets an upload that will not be accepted; the orphan sweep takes what this misses."""
        await self._pool.execute(
            "WITH gone AS (DELETE FROM uploads WHERE message_id = $1 RETURNING message_id) "
            "DELETE FROM content c USING gone WHERE c.message_id = gone.message_id",
            message_id,
        )
