"""Who asks, and what of it he may see. Every read takes a Principal. DESIGN, decided 21."""

import enum
from dataclasses import dataclass
from uuid import UUID

from shared.domain.names import CustomerId


class Role(enum.Enum):
    """Whose key it is."""

    OPERATOR = "operator"  # sees everything
    RESELLER = "reseller"  # sees itself and the customers it owns
    CUSTOMER = "customer"  # sees itself


@dataclass(frozen=True, slots=True)
class Principal:
    """A role, and for all but the operator the customer that it speaks for."""

    role: Role
    customer_id: CustomerId | None
    scopes: frozenset[str]
    #: The key that asks; None for who asks without one, as a command on the machine does.
    key_id: UUID | None = None

    def may(self, scope: str) -> bool:
        """Whether the key has this scope, such as `customers:write`; `*` is all of them."""
        return "*" in self.scopes or scope in self.scopes


OPERATOR = Principal(Role.OPERATOR, None, frozenset({"*"}))
