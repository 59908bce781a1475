"""Sockets that listen."""

import socket
from typing import Final

#: Connections that wait to be accepted, at most (listen(2)).
BACKLOG: Final = 1_024


def bind(address: str) -> socket.socket:
    """A listening socket at host:port, for asyncio. Raises OSError with a sentence when the port is taken.

    Made by its protocol's number: without it asyncio sets no TCP_NODELAY on what is accepted, and answers take 40 ms.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, int(port)))
    except OSError as error:
        sock.close()
        raise OSError(f"cannot listen on {address}: {error.strerror or error}") from None
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock
