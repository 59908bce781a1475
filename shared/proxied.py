"""Reads who a balancer speaks for off a connection that was just accepted, on a port of its own.

Only named networks may: whoever may says who he is, and by the address connections and failures to log in are bounded.
"""

import asyncio
import ipaddress
import socket
from typing import Final

from shared.protocol.proxy import FIXED, BadHeader, read_address, read_head

#: Seconds for the header, which comes with the connection or not at all.
HEADER_TIME: Final = 5.0

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def networks_of(words: str) -> Networks:
    """Of a setting: networks with spaces between them. Raises ValueError."""
    return tuple(ipaddress.ip_network(word) for word in words.split())


def is_trusted(address: str, networks: Networks) -> bool:
    """Whether a balancer may be there."""
    known = ipaddress.ip_address(address.partition("%")[0])
    mapped = known.ipv4_mapped if isinstance(known, ipaddress.IPv6Address) else None
    return any((mapped or known) in network for network in networks)


async def client_of(sock: socket.socket, balancer: str, networks: Networks) -> str:
    """The client's address, or the balancer's own where it speaks for itself. Nothing behind the header is read.

    Raises BadHeader, OSError and TimeoutError.
    """
    if not is_trusted(balancer, networks):
        raise BadHeader(f"{balancer} is no balancer of ours (ODMR_PROXY_NETWORKS)")
    async with asyncio.timeout(HEADER_TIME):
        head = read_head(await _exactly(sock, FIXED))
        return read_address(head, await _exactly(sock, head.rest)) or balancer


async def _exactly(sock: socket.socket, size: int) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    while len(data) < size:
        more = await loop.sock_recv(sock, size - len(data))
        if not more:
            raise ConnectionResetError("closed in the header")
        data += more
    return data
