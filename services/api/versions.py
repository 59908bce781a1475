"""ETag, If-None-Match and If-Match (RFC 9110 13.1) of what people configure, and conflicts as problems."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Header, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from services.api.errors import Problem
from shared.storage.reading import Changed, Conflict

IfMatch = Annotated[str, Header(alias="If-Match", description="the ETag that was read; of another version 412")]


def shown(response: Response, version: str) -> None:
    """Says which version it is that is shown."""
    response.headers["ETag"] = f'"{version}"'


async def not_modified(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """304 to who knows the version already."""
    response = await call_next(request)
    known, tag = request.headers.get("If-None-Match"), response.headers.get("ETag")
    if request.method == "GET" and known is not None and tag is not None and tag in _tags(known):
        return Response(status_code=304, headers={"ETag": tag})
    return response


def check_version(version: str, wanted: str) -> None:
    """Raises Problem precondition_failed when the caller wants to change another version."""
    if wanted != "*" and f'"{version}"' not in _tags(wanted):
        raise Problem("precondition_failed")


@contextmanager
def guarded() -> Iterator[None]:
    """What the storage says no to, as problems."""
    try:
        yield
    except Conflict as error:
        raise Problem("conflict", str(error)) from None
    except Changed:
        raise Problem("precondition_failed") from None


def _tags(header: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]
