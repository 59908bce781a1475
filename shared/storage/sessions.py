"""The record of who was connected, and what it got."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.domain.names import CredentialId, CustomerId, SessionId
from shared.storage.engine import Pool


@dataclass(frozen=True, slots=True)
class TurnedSession:
    """A session at its turn."""

    id: SessionId
    customer_id: CustomerId
    credential_id: CredentialId
    peer: str
    is_tls: bool
    mechanism: str
    domains: tuple[str, ...]
    is_live: bool = False


#: A customer that was absent has returned.
_TURNED: Final = """
WITH turned AS (
    INSERT INTO sessions (id, customer_id, credential_id, peer, is_tls, mechanism, domains, is_live)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
), returned AS (
    UPDATE customers SET absent_since = NULL WHERE id = $2 AND absent_since IS NOT NULL RETURNING id
)
INSERT INTO events (type, customer_id, session_id, detail)
SELECT 'session.started', $2, $1, $4 UNION ALL SELECT 'customer.returned', id, $1, '' FROM returned
"""

#: Its seconds belong to no domain: a session may have several.
_ENDED: Final = """
WITH ended AS (
    UPDATE sessions SET ended_at = now(), sent_messages = $2, sent_bytes = $3, why_ended = $4
    WHERE id = $1 AND ended_at IS NULL
    RETURNING id, customer_id, ceil(extract(epoch FROM now() - started_at))::bigint AS seconds
), counted AS (
    INSERT INTO usage (customer_id, domain_id, meter, amount)
    SELECT customer_id, '00000000-0000-0000-0000-000000000000', 'session_seconds', seconds FROM ended
)
INSERT INTO events (type, customer_id, session_id, detail) SELECT 'session.ended', customer_id, id, $4 FROM ended
"""


class Sessions:
    """Writes sessions at their turn and at their end."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def may_ask(self, credential_id: CredentialId, interval: timedelta) -> bool:
        """Whether the last ATRN of this credential that was allowed is `interval` ago; notes this one then."""
        if not interval:
            return True
        return bool(
            await self._pool.fetchval(
                "UPDATE credentials SET last_atrn_at = now() WHERE id = $1 "
                "AND (last_atrn_at IS NULL OR last_atrn_at <= now() - $2::interval) RETURNING true",
                credential_id,
                interval,
            )
        )

    async def turned(self, session: TurnedSession) -> None:
        """The session has mail and turns."""
        await self._pool.execute(
            _TURNED,
            session.id,
            session.customer_id,
            session.credential_id,
            session.peer,
            session.is_tls,
            session.mechanism,
            list(session.domains),
            session.is_live,
        )

    async def ended(self, session_id: SessionId, messages: int, octets: int, why: str) -> None:
        """The session is over."""
        await self._pool.execute(_ENDED, session_id, messages, octets, why)
