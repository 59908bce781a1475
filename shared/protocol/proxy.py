"""The PROXY protocol, version 2: who a balancer speaks for, in octets before all others. haproxy's proxy-protocol.txt, 2.2.

Version 1 is a line of text that a careless reader mistakes for a command, and is not taken.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
#: Octets of signature, version and command, family and transport, length.
FIXED: Final = 16
#: Octets of addresses and further fields: a receiver may stop at 536 (2.2), but fields of TLS certificates are longer.
MAX_REST: Final = 4_096

_LOCAL, _PROXY = 0x20, 0x21
#: Family and transport -> octets of one address. Anything else is to be taken as unknown (2.2).
_ADDRESSES: Final = {0x11: 4, 0x21: 16}


class BadHeader(ValueError):
    """It is no header of version 2: whoever speaks there is no balancer of ours."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the fixed octets say: whether an address follows, and how many octets do."""

    is_proxied: bool
    address_size: int
    rest: int


def read_head(data: bytes) -> Head:
    """Of the first FIXED octets. Raises BadHeader."""
    if len(data) != FIXED or not data.startswith(SIGNATURE):
        raise BadHeader("it does not begin with the signature of version 2")
    command, family, rest = data[12], data[13], int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise BadHeader(f"version and command are {command:#04x}")
    if rest > MAX_REST:
        raise BadHeader(f"{rest} octets of addresses and fields")
    size = _ADDRESSES.get(family, 0)
    if command == _PROXY and rest < 2 * size + (4 if size else 0):
        raise BadHeader("it ends in its addresses")
    return Head(command == _PROXY, size, rest)


def read_address(head: Head, rest: bytes) -> str:
    """The client's address, of the octets that `head` says; "" where the balancer speaks for itself (LOCAL, a health check)
    or does not say for whom."""
    if not head.is_proxied or not head.address_size:
        return ""
    address = ipaddress.ip_address(rest[: head.address_size])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def header(client: str, server: str, client_port: int = 40_000, server_port: int = 25) -> bytes:
    """What a balancer writes for a TCP connection of `client` to `server`."""
    source, target = ipaddress.ip_address(client), ipaddress.ip_address(server)
    rest = source.packed + target.packed + client_port.to_bytes(2, "big") + server_port.to_bytes(2, "big")
    family = 0x11 if source.version == 4 else 0x21
    return SIGNATURE + bytes((_PROXY, family)) + len(rest).to_bytes(2, "big") + rest
