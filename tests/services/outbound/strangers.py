"""A DNS of our own on loopback, and servers of strangers that say what they are told."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

Zone = Mapping[tuple[str, str], Sequence[str]]


class _Names(asyncio.DatagramProtocol):
    """Answers from a table `(name, kind) -> records`; a name that is nowhere does not exist; "fail" is SERVFAIL."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        records = self._zone.get((name, kind), ())
        if "fail" in records:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif records:
            answer.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, records))
        elif not any(known == name for known, _ in self._zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        assert self._transport is not None
        self._transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def names(zone: Zone) -> AsyncIterator[str]:
    """A DNS server; gives its `address:port`."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Names(zone), local_addr=("127.0.0.1", 0)
    )
    yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    transport.close()


class Stranger:
    """A server that answers command by command from a table; keeps what it heard. `content` is what came as DATA."""

    def __init__(self, answers: dict[str, str], *, tls: ssl.SSLContext | None = None, breaks_tls: bool = False) -> None:
        self._answers = {"": "220 s.example", "EHLO": "250 s.example", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go", ".": "250 taken", "RSET": "250 ok", "QUIT": "221 bye", **answers}  # fmt: skip
        self._tls = tls
        self._breaks_tls = breaks_tls
        self.heard: list[str] = []
        self.contents: list[str] = []
        self.connections = 0
        self.under_tls = 0
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
        """Gives the port."""
        server = await asyncio.start_server(self._serve, host, port)
        yield server.sockets[0].getsockname()[1]
        server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, ssl.SSLError):
            pass
        writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, content = "", ""
        while True:
            answer = self._answers.get(verb, "500 what")
            if answer == "hang up":
                return
            writer.write(answer.replace("\n", "\r\n").encode() + b"\r\n")
            await writer.drain()
            if verb == "STARTTLS" and answer.startswith("220"):
                if self._breaks_tls:
                    return
                await writer.start_tls(self._tls)  # type: ignore[arg-type]
                self.under_tls += 1
            if verb == "QUIT":
                return
            line = (await reader.readline()).decode()
            if not line:
                return
            if verb == "DATA" and answer.startswith("354"):
                while line != ".\r\n":
                    content += line
                    line = (await reader.readline()).decode()
                self.contents.append(content)
                verb, content = ".", ""
            else:
                self.heard.append(line.removesuffix("\r\n"))
                verb = line.split()[0].upper().rstrip(":")
