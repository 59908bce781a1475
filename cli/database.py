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


async def upgrade() -> int:
    """Gives the exit code."""
    try:
        url, key = _value("ODMR_DATABASE_URL"), _value("ODMR_OPERATOR_KEY")
    except OSError as error:
        sys.stderr.write(f"{error.filename} cannot be read: {error.strerror}\n")
        return EX_NOINPUT
    if not url:
        sys.stderr.write("ODMR_DATABASE_URL is not set; write postgresql://user:password@host:port/database\n")
        return EX_CONFIG
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
    return Path(known[f"{name}_FILE"]).read_text().strip() if known.get(f"{name}_FILE") else known.get(name, "")
