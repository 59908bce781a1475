"""A stream that can go from clear to TLS, and the contexts for it. RFC 3207, RFC 8314, RFC 8996.

asyncio's own TLS costs 279 KiB an idle session where this takes some 20, drops replies that it holds when a write fails, and
runs plaintext that came behind STARTTLS as if it were said under TLS. Here reading and writing are apart: after a write
error what the peer said before is still read. One write is one TLS record up to 16 KiB.
"""

import asyncio
import contextlib
import hashlib
import socket
import ssl
from pathlib import Path
from typing import Final

#: Octets asked for in one read.
READ_SIZE: Final = 64 * 1024
#: Milliseconds that sent octets may stay unacknowledged. DESIGN, decided 6: 60 to 120 s.
USER_TIMEOUT: Final = 90_000


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """For a listener. TLS 1.2 at least (RFC 8996)."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def asks_for_certificate(context: ssl.SSLContext) -> None:
    """From now on this listener asks for a client's certificate, and takes none that no anchor proves; it may be left out.

    A registered certificate may be an anchor itself, whoever signed it (X509_V_FLAG_PARTIAL_CHAIN).
    """
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN


def client_context(ca_file: Path | None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """For a caller: the certificate and its name are checked, against this CA or the system's.

    With a certificate and key of its own it shows them to who asks. Raises ssl.SSLError or OSError when they do not fit.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def opportunistic_context() -> ssl.SSLContext:
    """For servers of strangers, whose certificates prove nothing (RFC 7435): TLS against listeners, or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Stream:
    """One TCP connection. One task may read while another writes."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
        if self._is_tcp:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._sending = asyncio.Lock()

    @property
    def is_tls(self) -> bool:
        """Whether what is written is encrypted."""
        return self._tls is not None

    @property
    def peer_certificate_sha256(self) -> bytes:
        """SHA-256 of the peer's certificate, where one was asked for and verified; else b""."""
        der = self._tls.getpeercert(binary_form=True) if self._tls is not None else None
        return hashlib.sha256(der).digest() if der else b""

    async def read(self) -> bytes:
        """The next octets; b"" when the peer has closed or the line is broken."""
        if self._tls is None:
            return await self._receive()
        while True:
            try:
                return self._tls.read(READ_SIZE)
            except ssl.SSLWantReadError:
                if (
                    self._outgoing.pending and not self._sending.locked()
                ):  # never wait for the writer: it may wait for us
                    await self._flush_quietly()
                data = await self._receive()
                if data:
                    self._incoming.write(data)
                else:
                    return b""
            except ssl.SSLError:
                return b""

    async def write(self, data: bytes) -> None:
        """Sends all of it. Raises OSError when the line is broken; what was said before can still be read."""
        if not data:
            return
        async with self._sending:
            if self._tls is None:
                await self._loop.sock_sendall(self._socket, data)
            else:
                self._tls.write(data)
                await self._send_outgoing()

    async def write_lines(self, data: bytes) -> None:
        """The same with one TLS record a line, for a reader that waits for the socket after each line (fetchmail)."""
        if self._tls is None:
            await self.write(data)
            return
        async with self._sending:
            for line in data.splitlines(keepends=True):
                self._tls.write(line)
            await self._send_outgoing()

    async def start_tls(self, context: ssl.SSLContext, *, server_side: bool, hostname: str | None = None) -> None:
        """Makes the handshake. Raises ssl.SSLError or OSError. What was read before in clear is the caller's to refuse."""
        tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=None if server_side else hostname
        )
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._receive()
                if not data:
                    raise ConnectionResetError("the peer closed in the TLS handshake") from None
                self._incoming.write(data)
            except ssl.SSLError:
                await self._flush_quietly()  # the alert that says why
                raise
        await self._flush()
        self._tls = tls

    def close(self) -> None:
        """Closes; says so under TLS when that costs no wait."""
        if self._tls is not None:
            with contextlib.suppress(ssl.SSLError, OSError):
                self._tls.unwrap()
            with contextlib.suppress(OSError):
                self._socket.send(self._outgoing.read())
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    async def close_gently(self, seconds: float) -> None:
        """Says that nothing more comes, and reads on until the peer ends, too, at most so long; then closes.

        Who closes with octets unread sends a reset (RFC 1122 4.2.2.13), and that may take from the peer what was said last.
        """
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(seconds):
                if self._tls is not None:
                    with contextlib.suppress(ssl.SSLError):
                        self._tls.unwrap()
                    await self._flush()
                self._socket.shutdown(socket.SHUT_WR)
                while await self._receive():
                    pass
        self.close()

    def half_close(self) -> None:
        """Nothing more will be written; what the peer says is still read. Clear connections only."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def _receive(self) -> bytes:
        """A peer that writes line by line without TCP_NODELAY (fetchmail) waits 40 ms for each acknowledgement that the
        kernel delays; so it is sent at once, which the kernel forgets and has to be told each time (tcp(7))."""
        try:
            data = await self._loop.sock_recv(self._socket, READ_SIZE)
            if self._is_tcp:
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except OSError:
            return b""
        return data

    async def _flush(self) -> None:
        async with self._sending:
            await self._send_outgoing()

    async def _send_outgoing(self) -> None:
        """Also what a read has added meanwhile."""
        while self._outgoing.pending:
            await self._loop.sock_sendall(self._socket, self._outgoing.read())

    async def _flush_quietly(self) -> None:
        with contextlib.suppress(OSError):
            await self._flush()


async def connect(host: str, port: int) -> Stream:
    """Calls a host, its addresses in turn. Raises OSError."""
    loop = asyncio.get_running_loop()
    error: OSError = ConnectionError(f"{host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
            return Stream(sock)
        except OSError as failed:
            sock.close()
            error = failed
        except BaseException:
            sock.close()
            raise
    raise error
