"""The shapes that travel. One shape a noun, the same in a list and alone."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.domain.names import domain_name, public_id
from shared.storage.customers import Customer, Domain, QueueFigures

T = TypeVar("T")

DomainText = Annotated[str, AfterValidator(domain_name), Field(examples=["example.org"], max_length=255)]


class Input(BaseModel):
    """What comes in has no field that we do not know, and no NUL that the database cannot keep."""

    model_config = ConfigDict(extra="forbid")


class Shown(BaseModel):
    """Anything that a list shows: it has an id."""

    id: str


class Page(BaseModel, Generic[T]):
    """A list and where it goes on."""

    data: list[T]
    has_more: bool
    next_cursor: str | None


class Whoami(BaseModel):
    """The key that asks."""

    role: str
    customer_id: str | None
    scopes: list[str]
    version: str


_TEXT = r"^[^\x00-\x1f\x7f]+$"


class CustomerInput(Input):
    """A customer to make."""

    name: str = Field(min_length=1, max_length=200, pattern=_TEXT)
    external_id: str | None = Field(default=None, min_length=1, max_length=200, pattern=_TEXT)


class CustomerOutput(Shown):
    """A customer."""

    external_id: str | None
    name: str
    state: str
    created_at: datetime

    @classmethod
    def of(cls, customer: Customer) -> "CustomerOutput":
        """From the spool's own value."""
        return cls(
            id=public_id("cus", customer.id),
            external_id=customer.external_id,
            name=customer.name,
            state=customer.state,
            created_at=customer.created_at,
        )


class DomainInput(Input):
    """A domain to host for a customer."""

    customer_id: str
    name: DomainText


class DomainOutput(Shown):
    """A domain."""

    customer_id: str
    name: str
    created_at: datetime

    @classmethod
    def of(cls, domain: Domain) -> "DomainOutput":
        """From the spool's own value."""
        return cls(
            id=public_id("dom", domain.id),
            customer_id=public_id("cus", domain.customer_id),
            name=domain.name,
            created_at=domain.created_at,
        )


class QueueOutput(BaseModel):
    """What waits for a domain, by state; `oldest_received_at` of what is queued or leased."""

    domain: str
    messages: dict[str, int]
    bytes: dict[str, int]
    oldest_received_at: datetime | None

    @classmethod
    def of(cls, domain: Domain, figures: QueueFigures) -> "QueueOutput":
        """From the spool's own values."""
        return cls(
            domain=domain.name,
            messages=figures.messages,
            bytes=figures.octets,
            oldest_received_at=figures.oldest_received_at,
        )


class CredentialInput(Input):
    """A credential to make. Without a name auth chooses one; the secret is always ours."""

    customer_id: str
    authcid: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$")


class CredentialOutput(BaseModel):
    """A credential with its secret, which is told this once."""

    id: str
    customer_id: str
    authcid: str
    secret: str
    mechanisms: list[str]
