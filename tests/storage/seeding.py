"""Customers, domains and messages to put into a database."""

import hashlib
from dataclasses import dataclass

from shared.clock import Clock
from shared.domain.access import OPERATOR
from shared.domain.message import Message, Recipient
from shared.domain.names import (
    CredentialId,
    CustomerId,
    DomainId,
    LeaseId,
    MessageId,
    RecipientId,
    SessionId,
    domain_name,
)
from shared.storage.credentials import Credential, Credentials
from shared.storage.customers import Customers
from shared.storage.domains import Domains
from shared.storage.engine import create_engine
from shared.storage.spool import Lease

CLOCK = Clock()


@dataclass(frozen=True, slots=True)
class Seed:
    """One customer with one domain and one credential."""

    customer_id: CustomerId
    domain_id: DomainId
    domain: str
    credential_id: CredentialId

    def message(
        self,
        content: bytes | None = b"Subject: x\r\n\r\nbody\r\n",
        *,
        recipients: int = 1,
        reverse_path: str = "a@remote.example",
    ) -> Message:
        """A message for so many recipients of the domain."""
        return Message(
            id=MessageId(CLOCK.new_id()),
            reverse_path=reverse_path,
            recipients=tuple(
                Recipient(
                    RecipientId(CLOCK.new_id()),
                    self.customer_id,
                    self.domain_id,
                    domain_name(self.domain),
                    f"u{i}@{self.domain}",
                )
                for i in range(recipients)
            ),
            size=len(content or b""),
            sha256=hashlib.sha256(content or b"").digest(),
            has_eight_bit=False,
            helo="remote.example",
            peer="192.0.2.1",
            content=content,
        )

    def lease(self) -> Lease:
        """A lease that is not opened yet."""
        return Lease(LeaseId(CLOCK.new_id()), SessionId(CLOCK.new_id()), self.customer_id)


async def seed(database_url: str, domain: str = "demo.example") -> Seed:
    """Makes the customer."""
    engine = create_engine(database_url, size=1)
    try:
        customers = Customers(engine)
        customer = await customers.create(OPERATOR, CustomerId(CLOCK.new_id()), {"name": domain, "external_id": domain})
        made = await Domains(engine).create(DomainId(CLOCK.new_id()), customer.id, domain_name(domain))
        credential_id = CredentialId(CLOCK.new_id())
        await Credentials(engine).add(Credential(credential_id, customer.id, domain, ("CRAM-MD5",), b"sealed"))
        return Seed(customer.id, made.id, domain, credential_id)
    finally:
        await engine.dispose()
