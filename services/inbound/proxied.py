"""The MX port behind a balancer: who the sender is comes in a PROXY header, before anything of SMTP."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import structlog

from shared.protocol.proxy import BadHeader
from shared.proxied import Networks, client_of

log = structlog.get_logger()


class ProxiedPort:
    """Accepts, reads the header, and hands the connection on with the client's address in place of the balancer's."""

    def __init__(self, sock: socket.socket, networks: Networks, make: Callable[[str], Any]) -> None:
        self._socket = sock
        self._networks = networks
        self._make = make
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    sock, address = await loop.sock_accept(self._socket)
                except OSError as error:
                    log.warning("proxied.accept_failed", error=str(error))
                    await asyncio.sleep(1)
                    continue
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                task = asyncio.create_task(self._begin(sock, str(address[0])))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        finally:
            self._socket.close()
            for task in self._tasks:
                task.cancel()

    async def _begin(self, sock: socket.socket, balancer: str) -> None:
        try:
            client = await client_of(sock, balancer, self._networks)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self._make(client), sock)
        except (BadHeader, OSError, TimeoutError) as error:
            log.warning("proxied.refused", balancer=balancer, error=f"{type(error).__name__}: {error}")
            sock.close()
        except BaseException:
            sock.close()
            raise
