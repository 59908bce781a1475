"""/v1/audit_log: which key changed what."""

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

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


async def audited(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """The middleware: a line for each request that had an effect. One that cannot be written undoes nothing."""
    response = await call_next(request)
    principal = getattr(request.state, "principal", None)
    if request.method == "GET" or response.status_code >= 300 or principal is None or principal.key_id is None:
        return response
    parts = parts_of(request)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    peer = request.client.host if request.client else ""
    line = (request.method, path, response.status_code, request.state.request_id, peer)
    try:
        await parts.audit.add(parts.clock.new_id(), principal.key_id, *line)
    except Exception:
        log.exception("audit.not_written", line=line, api_key_id=str(principal.key_id))
    return response
