"""Credentials and API keys. Secrets lie here sealed (credentials) or hashed (keys), never in clear."""

from dataclasses import dataclass, field

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.domain.access import Principal, Role
from shared.domain.names import CredentialId, CustomerId
from shared.storage.customers import Conflict
from shared.storage.tables import api_keys, credentials, customers, domains


@dataclass(frozen=True, slots=True)
class Credential:
    """What auth keeps: who it is, and its secret sealed by auth's key."""

    id: CredentialId
    customer_id: CustomerId
    authcid: str
    sealed_secret: bytes = field(repr=False)
    mechanisms: tuple[str, ...]


class Credentials:
    """Used by auth alone."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, credential: Credential) -> None:
        """A new credential. Raises Conflict when the name is taken."""
        try:
            async with self._engine.begin() as connection:
                await connection.execute(
                    insert(credentials).values(
                        id=credential.id,
                        customer_id=credential.customer_id,
                        authcid=credential.authcid,
                        sealed_secret=credential.sealed_secret,
                        mechanisms=list(credential.mechanisms),
                        created_at=func.now(),
                    )
                )
        except IntegrityError:
            raise Conflict(f"a credential by the name {credential.authcid} is there already") from None

    async def find(self, authcid: str) -> Credential | None:
        """The credential by its name, if neither it nor its customer was taken away."""
        query = (
            select(
                credentials.c.id,
                credentials.c.customer_id,
                credentials.c.authcid,
                credentials.c.sealed_secret,
                credentials.c.mechanisms,
            )
            .join(customers, customers.c.id == credentials.c.customer_id)
            .where(
                credentials.c.authcid == authcid,
                credentials.c.revoked_at.is_(None),
                customers.c.state != "terminated",
            )
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            return None
        return Credential(**{**row, "mechanisms": tuple(row["mechanisms"])})

    async def grant(self, credential: Credential) -> tuple[str, ...]:
        """Notes the use, and gives the domains that the customer may ask for: none while it is suspended."""
        names = (
            select(domains.c.name)
            .join(customers, customers.c.id == domains.c.customer_id)
            .where(domains.c.customer_id == credential.customer_id, customers.c.state == "active")
            .order_by(domains.c.name)
        )
        async with self._engine.begin() as connection:
            await connection.execute(
                update(credentials).where(credentials.c.id == credential.id).values(last_used_at=func.now())
            )
            return tuple((await connection.execute(names)).scalars())


class ApiKeys:
    """Keys of the HTTP API: stored as SHA-256 of 256 random bits."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, key_id: object, name: str, prefix: str, secret_sha256: bytes, principal: Principal) -> None:
        """A new key that speaks for this principal. Raises Conflict."""
        try:
            async with self._engine.begin() as connection:
                await connection.execute(
                    insert(api_keys).values(
                        id=key_id,
                        customer_id=principal.customer_id,
                        role=principal.role.value,
                        name=name,
                        prefix=prefix,
                        secret_sha256=secret_sha256,
                        scopes=sorted(principal.scopes),
                        created_at=func.now(),
                    )
                )
        except IntegrityError:
            raise Conflict("that key is there already") from None

    async def find(self, secret_sha256: bytes) -> Principal | None:
        """Whom the key speaks for, or None."""
        query = select(api_keys.c.role, api_keys.c.customer_id, api_keys.c.scopes).where(
            api_keys.c.secret_sha256 == secret_sha256, api_keys.c.revoked_at.is_(None)
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).first()
        return Principal(Role(row.role), row.customer_id, frozenset(row.scopes)) if row else None
