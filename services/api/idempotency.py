"""Idempotency-Key: a POST that bears one is done once, and its answer is given again when it comes again.

As Stripe and draft-ietf-httpapi-idempotency-key-header have it: another request under the same key is 422, one that is being
done is 409. Only what succeeded is kept, for 72 hours; what failed had no effect and is done anew. Answers lie sealed, since
some tell a secret that is told once.
"""

import hashlib
import hmac
import re
from typing import Final
from uuid import UUID

from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.access import bearer_of, parts_of
from services.api.errors import Problem, answer
from services.api.parts import Parts

#: Visible ASCII; the length is Stripe's.
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class Once:
    """The middleware; only a POST with a key takes the long way, on which an answer is whole before it is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._once = BaseHTTPMiddleware(app, _once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        is_keyed = scope["type"] == "http" and scope["method"] == "POST" and "Idempotency-Key" in Headers(scope=scope)
        await (self._once if is_keyed else self._app)(scope, receive, send)


async def _once(request: Request, call_next: RequestResponseEndpoint) -> Response:
    key = request.headers["Idempotency-Key"]
    if not _KEY.fullmatch(key):
        return answer(Problem("validation_failed", "Idempotency-Key is 1 to 255 visible ASCII characters"), request)
    parts = parts_of(request)
    principal = await parts.keys.find(bearer_of(request))
    if principal is None or principal.key_id is None:
        return await call_next(request)  # which says 401
    digest = hashlib.sha256(
        f"{request.method} {request.url.path}?{request.url.query}\0".encode() + await request.body()
    ).digest()
    known = await parts.idempotency.begin(principal.key_id, key, digest)
    if known is None:
        return await _do(parts, principal.key_id, key, request, call_next)
    if known.request_sha256 and not hmac.compare_digest(known.request_sha256, digest):
        return answer(Problem("idempotency_key_reused"), request)
    if known.status is None:
        return answer(Problem("idempotency_in_progress"), request)
    body = parts.seal.open(known.sealed_body, _owner(principal.key_id, key))
    return Response(body, known.status, {"Idempotent-Replayed": "true"}, "application/json" if body else None)


async def _do(parts: Parts, key_id: UUID, key: str, request: Request, call_next: RequestResponseEndpoint) -> Response:
    """A fault of ours leaves the key being done: nobody knows whether it was, and it may be begun again in a minute."""
    streamed = await call_next(request)
    body = b""
    async for chunk in streamed.body_iterator:  # type: ignore[attr-defined]  # as call_next makes it
        body += chunk
    if streamed.status_code < 300:
        await parts.idempotency.keep(key_id, key, streamed.status_code, parts.seal.seal(body, _owner(key_id, key)))
    else:
        await parts.idempotency.forget(key_id, key)
    return Response(body, streamed.status_code, dict(streamed.headers))


def _owner(key_id: UUID, key: str) -> bytes:
    return b"answer " + key_id.bytes + key.encode()
