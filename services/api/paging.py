"""Lists: `limit` and `cursor` in, one envelope out. Newest first; the cursor is the id of the last one given."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Query

from services.api.errors import Problem
from services.api.schemas import Page, Shown
from shared.domain.names import BadName, from_public_id

R = TypeVar("R")
S = TypeVar("S", bound=Shown)

Limit = Annotated[int, Query(ge=1, le=100)]
#: 26 characters of Crockford's, as shared.domain.names makes them.
ID_PATTERN = "[0-7][0-9a-hjkmnp-tv-z]{25}"
Cursor = Annotated[
    str | None, Query(description="next_cursor of the page before", pattern=f"^[a-z]{{2,4}}_{ID_PATTERN}$")
]


def read_id(prefix: str, text: str) -> UUID:
    """The id in a path. Raises Problem not_found: what is no id names nothing."""
    try:
        return from_public_id(prefix, text)
    except BadName:
        raise Problem("not_found") from None


def read_cursor(prefix: str, cursor: str | None) -> UUID | None:
    """The id behind which the list goes on. Raises Problem invalid_value: it is another list's."""
    if cursor is None:
        return None
    try:
        return from_public_id(prefix, cursor)
    except BadName:
        raise Problem("invalid_value", "cursor is not one that this list gave") from None


def page(rows: Sequence[R], limit: int, show: Callable[[R], S]) -> Page[S]:
    """The envelope for rows of which one more than `limit` was asked for."""
    data = [show(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    return Page(data=data, has_more=has_more, next_cursor=data[-1].id if has_more else None)
