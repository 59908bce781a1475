"""What the shapes that travel have in common. Each noun's own stand with its router: one shape, in a list and alone."""

from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.api.errors import ProblemBody
from shared.domain.names import domain_name

T = TypeVar("T")

#: What OpenAPI says of errors, for every router.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {"model": ProblemBody, "content": {"application/problem+json": {}}, "description": "A problem"}
}

#: Text for people: no control characters, which a log or a table could not show and the database could not keep.
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
DomainText = Annotated[str, AfterValidator(domain_name), Field(examples=["example.org"], max_length=255)]


class Input(BaseModel):
    """What comes in has no field that we do not know."""

    model_config = ConfigDict(extra="forbid")


class Shown(BaseModel):
    """Anything that a list shows: it has an id."""

    id: str


class Page(BaseModel, Generic[T]):
    """A list and where it goes on."""

    data: list[T]
    has_more: bool
    next_cursor: str | None
