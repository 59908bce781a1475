"""/v1/api_keys. A key is made with no more than the key that makes it has, and is told once."""

import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from services.api.access import PartsOf, needs
from services.api.customers import get_customer
from services.api.errors import Problem
from services.api.paging import Cursor, Limit, page, read_cursor, read_id
from services.api.parts import Parts
from services.api.schemas import PROBLEMS, Input, Line, Page, Shown
from shared.domain.access import Principal, Role
from shared.domain.names import public_id
from shared.storage.api_keys import ApiKey

router = APIRouter(prefix="/v1/api_keys", tags=["api keys"], responses=PROBLEMS)
Reader = Annotated[Principal, Depends(needs("api_keys:read"))]
Writer = Annotated[Principal, Depends(needs("api_keys:write"))]

Scope = Literal[
    "*", "customers:read", "customers:write", "domains:read", "domains:write", "credentials:read", "credentials:write",
    "messages:read", "messages:write", "messages:content", "sessions:read", "sessions:write", "usage:read", "usage:write",
    "plans:read", "plans:write", "events:read", "webhooks:read", "webhooks:write", "audit_log:read", "diagnostics:read",
    "api_keys:read", "api_keys:write",
]  # fmt: skip
#: Characters of a key that stay visible, so that two can be told apart.
VISIBLE: Final = 12


class ApiKeyInput(Input):
    """A key to make: for the operator, or for a customer (a reseller is a customer that owns others)."""

    name: Line
    role: Literal["operator", "reseller", "customer"]
    customer_id: str | None = None
    scopes: list[Scope] = Field(min_length=1, max_length=30)


class ApiKeyRotation(Input):
    """For how long the old key is good, too, so that whoever uses it can be given the new one."""

    overlap_seconds: int = Field(default=0, ge=0, le=30 * 86_400)


class ApiKeyOutput(Shown):
    """A key; all of it but the visible beginning is told once, when it is made. `last_used_at` may be a minute behind."""

    name: str
    role: str
    customer_id: str | None
    prefix: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> "ApiKeyOutput":
        """From the spool's own value."""
        return cls(
            id=public_id("key", key.id),
            name=key.name,
            role=key.role,
            customer_id=public_id("cus", key.customer_id) if key.customer_id else None,
            prefix=key.prefix,
            scopes=list(key.scopes),
            created_at=key.created_at,
            last_used_at=key.last_used_at,
            expires_at=key.expires_at,
        )


class NewApiKey(ApiKeyOutput):
    """A key and all of it, this once: send it as `Authorization: Bearer`."""

    key: str


@router.post("", status_code=201)
async def create_api_key(body: ApiKeyInput, parts: PartsOf, principal: Writer) -> NewApiKey:
    """Makes a key."""
    if (body.role == "operator") != (body.customer_id is None):
        raise Problem("invalid_value", "an operator's key has no customer_id, and every other key has one")
    if principal.role is not Role.OPERATOR and body.role == "operator":
        raise Problem("scope_missing", "Only an operator's key makes an operator's key")
    if principal.role is Role.CUSTOMER and body.role == "reseller":
        raise Problem("scope_missing", "A customer's key makes no reseller's key")
    if not all(principal.may(scope) for scope in body.scopes):
        raise Problem("scope_missing", "A key gives no scope that it does not have")
    customer = await get_customer(parts, principal, body.customer_id) if body.customer_id is not None else None
    secret, prefix, sha256 = _new_secret(parts)
    made = await parts.keys.add(
        parts.clock.new_id(),
        body.name,
        prefix,
        sha256,
        Principal(Role(body.role), customer.id if customer else None, frozenset(body.scopes)),
    )
    return NewApiKey(key=secret, **ApiKeyOutput.of(made).model_dump())


@router.get("")
async def list_api_keys(
    parts: PartsOf, principal: Reader, limit: Limit = 20, cursor: Cursor = None
) -> Page[ApiKeyOutput]:
    """Keys that are not revoked, newest first."""
    rows = await parts.keys.page(principal, read_cursor("key", cursor), limit + 1)
    return page(rows, limit, ApiKeyOutput.of)


@router.post("/{key_id}/rotate")
async def rotate_api_key(key_id: str, body: ApiKeyRotation, parts: PartsOf, principal: Writer) -> NewApiKey:
    """A new key that may do the same; the old one ends after the overlap."""
    key = await parts.keys.get(principal, read_id("key", key_id))
    if key is None:
        raise Problem("not_found")
    if not all(principal.may(scope) for scope in key.scopes):
        raise Problem("scope_missing", "A key gives no scope that it does not have")
    if key.role == "operator" and principal.role is not Role.OPERATOR:
        raise Problem("scope_missing", "Only an operator's key makes an operator's key")
    if key.role == "reseller" and principal.role is Role.CUSTOMER:
        raise Problem("scope_missing", "A customer's key makes no reseller's key")
    secret, prefix, sha256 = _new_secret(parts)
    overlap = timedelta(seconds=body.overlap_seconds)
    made = await parts.keys.rotate(key, parts.clock.new_id(), prefix, sha256, overlap)
    return NewApiKey(key=secret, **ApiKeyOutput.of(made).model_dump())


def _new_secret(parts: Parts) -> tuple[str, str, bytes]:
    """The key, what stays visible of it, and what is kept."""
    secret = f"odmr_{parts.clock.new_secret()}"
    return secret, secret[:VISIBLE], hashlib.sha256(secret.encode()).digest()


@router.delete("/{key_id}", status_code=204)
async def revoke_api_key(key_id: str, parts: PartsOf, principal: Writer) -> None:
    """Ends it at once."""
    if not await parts.keys.revoke(principal, read_id("key", key_id)):
        raise Problem("not_found")
