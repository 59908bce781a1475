"""Room for mail: refuses with 452 before PostgreSQL fails, since a full WAL disk stops the server (RELIABILITY 4, P4)."""

import asyncio
import shutil
from pathlib import Path
from typing import Final

import structlog

from shared.protocol.reply import S452_NO_SPACE, Reply
from shared.storage.engine import Pool, database_size

log = structlog.get_logger()

#: Seconds between two looks.
LOOK_EVERY: Final = 1.0


class Space:
    """Looks at the file system that the database lies on, at the database's own size, or both. 0 and "" ask for nothing."""

    def __init__(self, path: str = "", least_free: int = 0, max_database: int = 0) -> None:
        self._path = path
        self._least_free = least_free
        self._max_database = max_database
        self.is_low = False

    @property
    def refusal(self) -> Reply | None:
        """What MAIL hears, or None."""
        return S452_NO_SPACE if self.is_low else None

    async def watch(self, pool: Pool) -> None:
        """Until cancelled. A look that fails changes nothing: the database says by itself when it does not answer."""
        while True:
            try:
                is_low = await self._look(pool)
            except Exception as error:
                log.warning("space.unknown", error=f"{type(error).__name__}: {error}")
            else:
                if is_low != self.is_low:
                    log.warning("space.low" if is_low else "space.enough")
                self.is_low = is_low
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self, pool: Pool) -> bool:
        if self._path and shutil.disk_usage(Path(self._path)).free < self._least_free:
            return True
        return bool(self._max_database) and await database_size(pool) > self._max_database
