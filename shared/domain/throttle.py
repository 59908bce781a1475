"""How long failures to prove oneself close a door. RFC 4954 9, RELIABILITY T6: exponential, and never for ever.

The door is one source and one name: guessing at a customer's name from elsewhere does not lock the customer out. A second,
wider door is the source alone. Names that exist and names that do not are counted the same.
"""

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True, slots=True)
class Door:
    """`free` failures cost nothing; each one more doubles the wait, from a second to `longest`."""

    free: int
    longest: timedelta

    def wait(self, failures: int) -> timedelta:
        """How long after the last of so many failures the door stays closed."""
        if failures < self.free:
            return timedelta(0)
        return min(timedelta(seconds=1 << min(failures - self.free, 16)), self.longest)


#: Twice what one connection may try (MAX_AUTH_FAILURES); a quarter of an hour at most.
BY_NAME: Final = Door(10, timedelta(minutes=15))
#: Many customers may stand behind one address (NAT), so it is wide, and closes for a minute at most.
BY_SOURCE: Final = Door(100, timedelta(minutes=1))
#: Failures older than this are forgotten.
MEMORY: Final = timedelta(hours=1)


def source_of(peer: str) -> str:
    """What counts as one source: an IPv4 address, an IPv6 /64 (RFC 4291: one link), else the text itself."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)


def doors_of(peer: str, authcid: str) -> dict[bytes, Door]:
    """The doors that this attempt goes through, by a key that holds none of the peer's text."""
    source = source_of(peer).encode()
    return {
        hashlib.sha256(b"name\0" + source + b"\0" + authcid.encode()).digest(): BY_NAME,
        hashlib.sha256(b"source\0" + source).digest(): BY_SOURCE,
    }
