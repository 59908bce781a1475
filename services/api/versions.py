"""ETag, If-None-Match and If-Match (RFC 9110 13.1) of what people configure, and conflicts as problems."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Header, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.errors import Problem
from shared.storage.reading import Changed, Conflict

IfMatch = Annotated[str, Header(alias="If-Match", description="the ETag that was read; of another version 412")]


def shown(response: Response, version: str) -> None:
    """Says which version it is that is shown."""
    response.headers["ETag"] = f'"{version}"'


class NotModified:
    """Middleware: 304 to who knows the version already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        known = Headers(scope=scope).get("If-None-Match") if scope["type"] == "http" else None
        if known is None or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        is_known = False

        async def send_on(message: Message) -> None:
            nonlocal is_known
            if message["type"] == "http.response.start":
                tag = Headers(raw=message["headers"]).get("ETag")
                is_known = tag is not None and tag in _tags(known)
                if is_known:
                    await Response(status_code=304, headers={"ETag": str(tag)})(scope, receive, send)
            if not is_known:
                await send(message)

        await self._app(scope, receive, send_on)


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
