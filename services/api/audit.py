"""/v1/audit_log: which key changed what."""

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.access import PartsOf, needs, parts_of
from services.api.paging import Cursor, Limit, page, read_cursor
from services.api.schemas import PROBLEMS, Page, Shown
from shared.domain.access import Principal
from shared.domain.names import public_id
from shared.storage.audit import Audited

log = structlog.get_logger()
router = APIRouter(prefix="/v1/audit_log", tags=["audit_log"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("audit_log:read"))]


class AuditedOutput(Shown):
    """One request that changed something, by which key and from where; `path` has its query."""

    at: datetime
    api_key_id: str
    key_name: str
    method: str
    path: str
    status: int
    request_id: str
    peer: str

    @classmethod
    def of(cls, audited: Audited) -> "AuditedOutput":
        """From the spool's own value."""
        same = ("at", "key_name", "method", "path", "status", "request_id", "peer")
        return cls(
            id=public_id("aud", audited.id),
            api_key_id=public_id("key", audited.api_key_id),
            **{name: getattr(audited, name) for name in same},
        )


@router.get("")
async def list_audit_log(
    parts: PartsOf, principal: Reader, limit: Limit = 20, cursor: Cursor = None
) -> Page[AuditedOutput]:
    """What was changed by keys that this one may see, newest first."""
    rows = await parts.audit.page(principal, read_cursor("aud", cursor), limit + 1)
    return page(rows, limit, AuditedOutput.of)


class Audit:
    """Middleware: a line for each request that had an effect. One that cannot be written undoes nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; its line is there before the last of its answer is sent."""
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        request, status = Request(scope), 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body") and status < 300:
                await _add(request, status)
            await send(message)

        await self._app(scope, receive, send_on)


async def _add(request: Request, status: int) -> None:
    principal = getattr(request.state, "principal", None)
    if principal is None or principal.key_id is None:
        return
    parts = parts_of(request)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    peer = request.client.host if request.client else ""
    line = (request.method, path, status, request.state.request_id, peer)
    try:
        await parts.audit.add(parts.clock.new_id(), principal.key_id, *line)
    except Exception:
        log.exception("audit.not_written", line=line, api_key_id=str(principal.key_id))
