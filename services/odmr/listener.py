"""Accepts connections and runs a session for each. Talks to strangers: bounded in all, and by address."""

import asyncio
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from shared.protocol.proxy import BadHeader
from shared.protocol.reply import S421_TOO_MANY_CONNECTIONS
from shared.proxied import Networks, client_of
from shared.tls import Stream

log = structlog.get_logger()

#: Connections of one process. Its memory at 20 KiB each stays under 200 MiB.
MAX_CONNECTIONS: Final = 10_000
#: Connections from one address. Postfix smtpd_client_connection_count_limit; loopback is not bounded.
MAX_BY_ADDRESS: Final = 50
#: Seconds for a TLS handshake on the implicit-TLS port, and for the 421 to who is too many.
HANDSHAKE_TIME: Final = 30.0
#: Seconds to wait when accept fails for want of descriptors: no spin (RELIABILITY X4).
ACCEPT_PAUSE: Final = 0.2

Serve = Callable[[Stream, str], Awaitable[None]]
Refresh = Callable[[], Awaitable[None]]


class Listener:
    """One port. `tls` is set where TLS begins with the first octet; `before_tls` may bring it up to date before; `networks`
    where balancers say who the customer is."""

    def __init__(
        self,
        sock: socket.socket,
        serve: Serve,
        tls: ssl.SSLContext | None = None,
        before_tls: Refresh | None = None,
        networks: Networks | None = None,
    ) -> None:
        self._socket = sock
        self._serve = serve
        self._tls = tls
        self._before_tls = before_tls
        self._networks = networks
        self._by_address: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Accepts until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(self._socket)
            except OSError as error:
                log.warning("listener.accept_failed", error=str(error))
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            task = asyncio.create_task(self._connection(sock, str(address[0])))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Lets the sessions that run come to their end, then ends them."""
        self._socket.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, sock: socket.socket, peer: str) -> None:
        if self._networks is not None:
            try:
                peer = await client_of(sock, peer, self._networks)
            except BaseException as error:
                sock.close()
                if not isinstance(error, (BadHeader, OSError, TimeoutError)):
                    raise
                log.warning("proxied.refused", balancer=peer, error=f"{type(error).__name__}: {error}")
                return
        self._by_address[peer] += 1
        stream: Stream | None = None
        try:
            stream = Stream(sock)
            too_many = self._by_address[peer] > MAX_BY_ADDRESS and not ipaddress.ip_address(peer).is_loopback
            if too_many or len(self._tasks) > MAX_CONNECTIONS:
                async with asyncio.timeout(HANDSHAKE_TIME):
                    await stream.write(S421_TOO_MANY_CONNECTIONS.to_wire())
                return
            if self._tls is not None:
                async with asyncio.timeout(HANDSHAKE_TIME):
                    if self._before_tls is not None:
                        await self._before_tls()
                    await stream.start_tls(self._tls, server_side=True)
            await self._serve(stream, peer)
        except (OSError, TimeoutError) as error:
            log.info("session.broken", peer=peer, error=f"{type(error).__name__}: {error}")
        except Exception:
            log.exception("session.failed", peer=peer)
        finally:
            if stream is not None:
                stream.close()
            else:
                sock.close()
            self._by_address[peer] -= 1
            if not self._by_address[peer]:
                del self._by_address[peer]
