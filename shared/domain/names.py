"""Names that must be right everywhere: domains in one form, ids as types. RFC 5890, RFC 9562."""

from typing import Final, NewType
from uuid import UUID

import idna

from shared.protocol.grammar import is_domain

DomainName = NewType("DomainName", str)
CustomerId = NewType("CustomerId", UUID)
DomainId = NewType("DomainId", UUID)
CredentialId = NewType("CredentialId", UUID)
MessageId = NewType("MessageId", UUID)
RecipientId = NewType("RecipientId", UUID)
SessionId = NewType("SessionId", UUID)
LeaseId = NewType("LeaseId", UUID)

_CROCKFORD: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGITS: Final = 26


class BadName(ValueError):
    """Not a name of the kind asked for; the text says so in one sentence."""


def domain_name(text: str) -> DomainName:
    """The only maker of DomainName: A-labels in lower case, two labels at least, no trailing dot. Raises BadName."""
    name = text.strip().rstrip(".").lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise BadName(f"{text!r} is not a domain name") from None
    if not is_domain(name) or "." not in name:
        raise BadName(f"{text!r} is not a domain name with at least two labels, such as example.org")
    return DomainName(name)


def uuid7(milliseconds: int, counter: int, randomness: bytes) -> UUID:
    """RFC 9562 5.7, method 1: `counter` (12 bits) keeps the order within a millisecond; 8 octets of randomness."""
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | (counter & 0xFFF) << 64
    return UUID(int=value | 0b10 << 62 | int.from_bytes(randomness[:8], "big") >> 2)


def public_id(prefix: str, value: UUID) -> str:
    """An id as people and billing systems see it: `cus_` and 26 Crockford characters."""
    number, digits = value.int, ""
    for _ in range(_DIGITS):
        number, digit = divmod(number, 32)
        digits = _CROCKFORD[digit] + digits
    return f"{prefix}_{digits}"


def from_public_id(prefix: str, text: str) -> UUID:
    """The other way round. Raises BadName."""
    lead, _, digits = text.partition("_")
    if lead != prefix or len(digits) != _DIGITS or any(digit not in _CROCKFORD for digit in digits):
        raise BadName(f"{text!r} is not an id that begins with {prefix}_")
    number = 0
    for digit in digits:
        number = number * 32 + _CROCKFORD.index(digit)
    if number >= 1 << 128:
        raise BadName(f"{text!r} is not an id that begins with {prefix}_")
    return UUID(int=number)
