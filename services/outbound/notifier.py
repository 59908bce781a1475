"""Makes the notices that senders are owed: finds who is to be told, composes, and puts it in the system's queue. RFC 3461."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Final

import structlog

from shared import metrics
from shared.clock import Clock
from shared.domain.dsn import Original, Told, compose, is_owed
from shared.domain.message import Message, Recipient
from shared.domain.names import BadName, DomainName, MessageId, RecipientId, domain_name
from shared.failpoint import failpoint
from shared.storage.engine import Pool
from shared.storage.notices import SYSTEM_CUSTOMER, SYSTEM_DOMAIN, Due, Notices, one_round

log = structlog.get_logger()

#: Recipients of one round.
BATCH: Final = 200
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Notifier:
    """Runs rounds. `by_minute` bounds all notices, `by_hour` those to one reverse-path; what is more waits."""

    pool: Pool
    clock: Clock
    hostname: str
    by_minute: int
    by_hour: int

    async def tell(self) -> int:
        """One round; gives how many recipients it was about, 0 also when another replica is at it. Raises database errors."""
        async with one_round(self.pool) as notices:
            if notices is None:
                return 0
            left = self.by_minute - await notices.made_since(_MINUTE)
            dues = await notices.due(BATCH, self.by_hour) if left > 0 else []
            made: Counter[str] = Counter()
            for _, same in groupby(dues, lambda due: (due.message_id, due.kind)):
                group = list(same)
                if group[0].told_in_hour + made[group[0].reverse_path] >= self.by_hour:
                    continue
                told = await self._tell_of(notices, group)
                made[group[0].reverse_path] += told
                left -= told
                if left <= 0:
                    log.warning("dsn.capped", by_minute=self.by_minute)
                    break
            failpoint("outbound.before_notices")
        metrics.NOTICES.inc(len(dues))
        return len(dues)

    async def _tell_of(self, notices: Notices, dues: list[Due]) -> int:
        """Gives how many notices were made, 0 or 1."""
        owed = [due for due in dues if is_owed(due.kind, due.reverse_path, due.dsn_parameters)]
        silent = [due for due in dues if due not in owed]
        if silent:
            await notices.tell(silent, None)
        if not owed:
            return 0
        beginning = await notices.first_chunk(owed[0].message_id)
        try:
            notice = self._notice(owed, beginning)
        except Exception:  # whatever it is, it stays due, and those behind it are told
            log.exception("dsn.broken", message_id=str(owed[0].message_id))
            return 0
        await notices.tell(owed, notice)
        if notice is None:
            log.warning("dsn.impossible", message_id=str(owed[0].message_id))
            return 0
        log.info("dsn.made", message_id=str(owed[0].message_id), dsn_id=str(notice.id), kind=owed[0].kind.value)
        return 1

    def _notice(self, dues: Sequence[Due], beginning: bytes) -> Message | None:
        """The notice as mail of our own, or None for a reverse-path that no server can be found by."""
        first = dues[0]
        try:
            domain = _domain_of(first.reverse_path)
        except BadName:
            return None
        dsn_id = MessageId(self.clock.new_id())
        content = compose(
            first.kind,
            Original(first.reverse_path, first.mail_parameters, first.received_at, _header(beginning)),
            tuple(Told(x.forward_path, x.dsn_parameters, x.state, x.last_reply, x.settled_at) for x in dues),
            hostname=self.hostname,
            name=dsn_id.hex,
            now=self.clock.now(),
        )
        recipient = Recipient(
            RecipientId(self.clock.new_id()), SYSTEM_CUSTOMER, SYSTEM_DOMAIN, domain, first.reverse_path
        )
        return Message(
            id=dsn_id,
            reverse_path="",
            recipients=(recipient,),
            size=len(content),
            sha256=hashlib.sha256(content).digest(),
            has_eight_bit=not content.isascii(),
            helo="",
            peer="",
            needs_smtputf8=not first.reverse_path.isascii(),
            content=content,
        )


def _domain_of(reverse_path: str) -> DomainName:
    """Where the notice goes; an address literal stays as it is. Raises BadName."""
    domain = reverse_path.rpartition("@")[2]
    return DomainName(domain) if domain.startswith("[") else domain_name(domain)


def _header(beginning: bytes) -> bytes:
    """The header section without the empty line behind it; what inbound took has an end within the first chunk."""
    end = beginning.find(b"\r\n\r\n")
    return beginning[: end + 2] if end >= 0 else beginning[: beginning.rfind(b"\r\n") + 2]
