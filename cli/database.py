"""`odmr db upgrade`: the schema, and the operator's first key."""

import hashlib
import sys
from pathlib import Path

from cli.api import EX_NOINPUT
from shared.clock import Clock
from shared.config import environment
from shared.domain.access import OPERATOR
from shared.program import EX_CONFIG, EX_TEMPFAIL
from shared.storage import schema
from shared.storage.api_keys import ApiKeys
from shared.storage.engine import create_engine
from shared.storage.reading import Conflict


class NotTold(Exception):
    """One sentence, and the exit code that goes with it."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def database_url() -> str:
    """Where the database is. Raises NotTold."""
    if url := _value("ODMR_DATABASE_URL"):
        return url
    raise NotTold(EX_CONFIG, "ODMR_DATABASE_URL is not set; write postgresql://user:password@host:port/database")


async def upgrade() -> int:
    """Gives the exit code."""
    try:
        url, key = database_url(), _value("ODMR_OPERATOR_KEY")
    except NotTold as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    try:
        await schema.upgrade(url)
    except schema.CannotReach as error:
        sys.stderr.write(f"The database at ODMR_DATABASE_URL cannot be reached: {error}\n")
        return EX_TEMPFAIL
    if key:
        engine = create_engine(url, size=1)
        try:
            await ApiKeys(engine).add(
                Clock().new_id(), "operator", key[:16], hashlib.sha256(key.encode()).digest(), OPERATOR
            )
        except Conflict:
            pass  # from an earlier upgrade
        finally:
            await engine.dispose()
    return 0


def _value(name: str) -> str:
    known = environment()
    try:
        return Path(known[f"{name}_FILE"]).read_text().strip() if known.get(f"{name}_FILE") else known.get(name, "")
    except OSError as error:
        raise NotTold(EX_NOINPUT, f"{error.filename} cannot be read: {error.strerror}") from None
