"""Credentials: what auth keeps of them (secrets lie sealed), and what of them may be shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.domain.access import Principal
from shared.domain.names import CredentialId, CustomerId
from shared.storage.engine import reading
from shared.storage.reading import Conflict, Nouns, newest_first, visible_to
from shared.storage.tables import credentials, customers, domains


@dataclass(frozen=True, slots=True)
class Credential:
    """What auth keeps: who it is, what proves it, and its policies. A secret is there only for the mechanism that needs it.

    `when_empty` says what an ATRN on an empty queue gets: refuse (453), turn (250, EHLO, QUIT), or live (250, and stay).
    `allowed_domains`: those of the customer's that it may ask for; all when none is named. The former secrets are there while
    a rotation overlaps.
    """

    id: CredentialId
    customer_id: CustomerId
    authcid: str
    mechanisms: tuple[str, ...]
    sealed_secret: bytes | None = field(default=None, repr=False)
    sealed_scram: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    certificate_sha256: bytes | None = None
    when_empty: str = "refuse"
    aliases: tuple[str, ...] = ()
    allowed_domains: tuple[str, ...] = ()
    former_sealed_secret: bytes | None = field(default=None, repr=False)
    former_sealed_scram: bytes | None = field(default=None, repr=False)

    @property
    def former(self) -> "Credential | None":
        """It as it was before the rotation that overlaps now, if one does."""
        if self.former_sealed_scram is None:
            return None
        return replace(self, sealed_secret=self.former_sealed_secret, sealed_scram=self.former_sealed_scram)


@dataclass(frozen=True, slots=True)
class CredentialRecord:
    """What may be shown of a credential."""

    id: CredentialId
    customer_id: CustomerId
    authcid: str
    mechanisms: tuple[str, ...]
    certificate_sha256: bytes | None
    when_empty: str
    aliases: tuple[str, ...]
    allowed_domains: tuple[str, ...]
    former_until: datetime | None
    created_at: datetime
    last_used_at: datetime | None


_c = credentials.c
_OVERLAPS = _c.former_until > func.now()
_KEPT = (
    _c.id, _c.customer_id, _c.authcid, _c.mechanisms, _c.sealed_secret, _c.sealed_scram, _c.certificate,
    _c.certificate_sha256, _c.when_empty, _c.aliases, _c.allowed_domains,
    case((_OVERLAPS, _c.former_sealed_secret)).label("former_sealed_secret"),
    case((_OVERLAPS, _c.former_sealed_scram)).label("former_sealed_scram"),
)  # fmt: skip
_SHOWN = (
    _c.id, _c.customer_id, _c.authcid, _c.mechanisms, _c.certificate_sha256, _c.when_empty, _c.aliases, _c.allowed_domains,
    case((_OVERLAPS, _c.former_until)).label("former_until"), _c.created_at, _c.last_used_at,
)  # fmt: skip


class Credentials:
    """Used by auth alone."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reads = reading(engine)

    async def add(self, credential: Credential) -> None:
        """A new credential. Raises Conflict when the name or the certificate is taken."""
        values = {name: getattr(credential, name) for name in Credential.__slots__}
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(credentials).values(**values, created_at=func.now()))
        except IntegrityError:
            raise Conflict(f"a credential by the name {credential.authcid} is there already") from None

    async def find(self, authcid: str) -> Credential | None:
        """The credential by its name, if neither it nor its customer was taken away."""
        return await self._find(_c.authcid == authcid)

    async def find_certificate(self, sha256: bytes) -> Credential | None:
        """The credential by its certificate, likewise."""
        return await self._find(_c.certificate_sha256 == sha256)

    async def find_id(self, credential_id: CredentialId) -> Credential | None:
        """The credential by its id, likewise."""
        return await self._find(_c.id == credential_id)

    async def grant(self, credential: Credential) -> tuple[str, ...]:
        """Notes the use, and gives the domains that the customer may ask for: none while it is suspended."""
        names = (
            select(domains.c.name)
            .join(customers, customers.c.id == domains.c.customer_id)
            .where(domains.c.customer_id == credential.customer_id, customers.c.state == "active")
            .order_by(domains.c.name)
        )
        if credential.allowed_domains:
            names = names.where(domains.c.name.in_(credential.allowed_domains))
        async with self._engine.begin() as connection:
            await connection.execute(update(credentials).where(_c.id == credential.id).values(last_used_at=func.now()))
            return tuple((await connection.execute(names)).scalars())

    async def replace_secrets(
        self, credential_id: CredentialId, sealed_secret: bytes | None, sealed_scram: bytes, overlap: timedelta
    ) -> None:
        """From now on the new secret proves it, and the old one for as long as `overlap`."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(credentials)
                .where(_c.id == credential_id)
                .values(
                    sealed_secret=sealed_secret,
                    sealed_scram=sealed_scram,
                    former_sealed_secret=_c.sealed_secret if overlap else None,
                    former_sealed_scram=_c.sealed_scram if overlap else None,
                    former_until=func.now() + overlap if overlap else None,
                )
            )

    async def _find(self, condition: ColumnElement[bool]) -> Credential | None:
        query = (
            select(*_KEPT)
            .join(customers, customers.c.id == _c.customer_id)
            .where(condition, _c.revoked_at.is_(None), customers.c.state != "terminated")
        )
        async with self._reads.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return Credential(**_tuples(row)) if row else None


class CredentialRecords(Nouns):
    """Used by the API; never reads a secret."""

    async def find(self, principal: Principal, credential_id: CredentialId) -> CredentialRecord | None:
        """The credential, or None when there is none that the principal may see."""
        row = await self._one(_shown(principal).where(_c.id == credential_id))
        return CredentialRecord(**_tuples(row)) if row else None

    async def page(
        self, principal: Principal, customer_id: CustomerId | None, after: CredentialId | None, limit: int
    ) -> list[CredentialRecord]:
        """Credentials, newest first, those behind `after`; of one customer if it is named."""
        query = newest_first(_shown(principal), _c.id, after, limit)
        if customer_id is not None:
            query = query.where(_c.customer_id == customer_id)
        return [CredentialRecord(**_tuples(row)) for row in await self._all(query)]

    async def change(self, credential_id: CredentialId, changes: Mapping[str, Any]) -> None:
        """Sets policies (when_empty, aliases, allowed_domains) of a credential that the caller has found."""
        if changes:
            async with self._engine.begin() as connection:
                await connection.execute(update(credentials).where(_c.id == credential_id).values(**changes))

    async def revoke(self, credential_id: CredentialId) -> None:
        """Ends a credential that the caller has found, and forgets its secrets; its sessions come to an end."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(credentials)
                .where(_c.id == credential_id, _c.revoked_at.is_(None))
                .values(
                    revoked_at=func.now(),
                    sealed_secret=None,
                    sealed_scram=None,
                    former_sealed_secret=None,
                    former_sealed_scram=None,
                )
            )


def _shown(principal: Principal) -> Select[Any]:
    return (
        select(*_SHOWN)
        .join(customers, customers.c.id == _c.customer_id)
        .where(visible_to(principal), _c.revoked_at.is_(None))
    )


def _tuples(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {**row, **{name: tuple(row[name]) for name in ("mechanisms", "aliases", "allowed_domains")}}
