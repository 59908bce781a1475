"""Which addresses a stranger may make us call: only those that the whole internet reaches. RFC 6890."""

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
#: IPv6 prefixes whose last octets are an IPv4 address. RFC 6052.
_NAT64: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


def is_global(text: str) -> bool:
    """Whether it is an address of the public internet, and none that stands for another. False for what is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return all(one.is_global and not one.is_multicast for one in _meant(address))


def _meant(address: Address) -> list[Address]:
    """The address, and the IPv4 addresses that it may lead to."""
    meant: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        meant += [one for one in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())) if one is not None]
        if (
            any(address in network for network in _NAT64) or int(address) >> 32 == 0
        ):  # the last are RFC 4291's "compatible"
            meant.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return meant
