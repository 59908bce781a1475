"""What the shapes that travel have in common. Each noun's own stand with its router: one shape, in a list and alone."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.api.errors import Problem, ProblemBody
from shared.domain.names import BadName, DomainName, domain_name

T = TypeVar("T")

#: What OpenAPI says of errors, for every router.
PROBLEMS: dict[int | str, dict[str, Any]] = {"default": {"model": ProblemBody, "description": "A problem"}}

#: Text for people: no control characters, which a log or a table could not show and the database could not keep.
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
#: Two labels at least; whether it is a domain name is looked at by `read_domain_name`.
DomainText = Annotated[
    str, Field(examples=["example.org"], max_length=255, pattern=r"^[^\x00-\x20\x7f.]+\.[^\x00-\x20\x7f]+$")
]
#: Characters of a reason that a DSN repeats.
MAX_TOLD: Final = 300
#: What JSON's readers keep exactly (RFC 8259 6).
MAX_INTEGER: Final = (1 << 53) - 1
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)


def _moment(value: object) -> datetime:
    """A time as RFC 3339 writes it, and nothing that could be taken for one, in UTC."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("write a time such as 2026-11-25T12:00:00Z")
    at = datetime.fromisoformat(value.upper().replace(":60", ":59"))  # a leap second is the one before it
    try:
        return at.astimezone(UTC)
    except OverflowError:
        return _FIRST if at.year == 1 else _LAST


When = Annotated[AwareDatetime, BeforeValidator(_moment)]


def read_domain_name(text: str) -> DomainName:
    """The name in its one form. Raises Problem invalid_value."""
    try:
        return domain_name(text)
    except BadName as error:
        raise Problem("invalid_value", str(error)) from None


class Input(BaseModel):
    """What comes in has no field that we do not know, and nothing that is only like what we ask for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, values: Any) -> Any:
        """5.0 is an integer, as JSON Schema has it."""
        if not isinstance(values, dict):
            return values
        is_whole = {name for name, value in values.items() if isinstance(value, float) and value.is_integer()}
        return {name: int(value) if name in is_whole else value for name, value in values.items()}


class Reason(Input):
    """Why, for the message's timeline; a bounce tells it to the sender."""

    reason: str = Field(min_length=1, max_length=400, pattern=r"^[ -~]+$")


class Shown(BaseModel):
    """Anything that a list shows: it has an id."""

    id: str


def links_to(parameter: str, *operations: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI links from a list to what takes the id of one of it."""
    links = {name: {"operationId": name, "parameters": {parameter: "$response.body#/data/0/id"}} for name in operations}
    return {200: {"links": links}}


class Page(BaseModel, Generic[T]):
    """A list and where it goes on."""

    data: list[T]
    has_more: bool
    next_cursor: str | None
