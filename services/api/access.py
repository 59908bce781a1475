"""Who asks: a bearer key becomes a Principal, and each route names the scope that it needs."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.api.errors import Problem
from services.api.parts import Parts
from shared.domain.access import Principal

_bearer = HTTPBearer(auto_error=False)


def parts_of(request: Request) -> Parts:
    """The parts of this process."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


async def _parts(request: Request) -> Parts:
    """As a dependency: one that is not async would be called in a thread."""
    return parts_of(request)


def bearer_of(request: Request) -> bytes:
    """SHA-256 of the key that the request bears; of nothing when it bears none."""
    kind, _, key = request.headers.get("Authorization", "").partition(" ")
    return hashlib.sha256(key.strip().encode() if kind.lower() == "bearer" else b"").digest()


PartsOf = Annotated[Parts, Depends(_parts)]


async def principal_of(
    request: Request, parts: PartsOf, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    """The principal of the key. A key is 256 random bits, so that its SHA-256 is enough to find it by."""
    if credentials is not None:
        principal = await parts.keys.find(hashlib.sha256(credentials.credentials.encode()).digest())
        if principal is not None:
            request.state.principal = principal
            return principal
    raise Problem("unauthorized")


def needs(scope: str) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that gives the principal if its key has the scope."""

    async def check(principal: Annotated[Principal, Depends(principal_of)]) -> Principal:
        if not principal.may(scope):
            raise Problem("scope_missing", f"The key does not have the scope {scope}")
        return principal

    return check
