"""The header of a balancer, octet by octet; what is none is refused. haproxy's proxy-protocol.txt, 2.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.proxy import FIXED, MAX_REST, SIGNATURE, BadHeader, header, read_address, read_head


def _read(data: bytes) -> str:
    head = read_head(data[:FIXED])
    return read_address(head, data[FIXED : FIXED + head.rest])


#: As haproxy 2.6 writes it for 192.0.2.7:5000 to 198.51.100.1:25, with a CRC32C field behind the addresses.
FROM_HAPROXY = bytes.fromhex("0d0a0d0a000d0a515549540a21110013c0000207c633640113880019030004a9b87e8f")


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_version_4(client: object, server: object) -> None:
    assert _read(header(str(client), str(server))) == str(client)


@given(st.ip_addresses(v=6), st.ip_addresses(v=6))
def test_version_6(client: object, server: object) -> None:
    mapped = getattr(client, "ipv4_mapped", None)
    assert _read(header(str(client), str(server))) == str(mapped or client)


def test_fields_behind_the_addresses_are_left_alone() -> None:
    assert _read(FROM_HAPROXY) == "192.0.2.7"


@pytest.mark.parametrize(
    "data",
    [
        SIGNATURE + b"\x20\x00\x00\x00",  # LOCAL: a health check
        SIGNATURE + b"\x20\x11\x00\x0c" + bytes(12),  # LOCAL with addresses, which are to be ignored
        SIGNATURE + b"\x21\x00\x00\x00",  # unknown family
        SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216),  # UNIX sockets
        SIGNATURE + b"\x21\x12\x00\x0c" + bytes(12),  # UDP
    ],
    ids=["local", "local with addresses", "unknown", "unix", "udp"],
)
def test_who_speaks_for_nobody(data: bytes) -> None:
    assert _read(data) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"", b"EHLO x.example\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.8 5000 25\r\n", SIGNATURE, SIGNATURE + b"\x11\x11\x00\x0c",
        SIGNATURE + b"\x22\x11\x00\x0c", SIGNATURE + b"\x21\x11\x00\x0b", SIGNATURE + b"\x21\x21\x00\x23",
        SIGNATURE + b"\x21\x11" + (MAX_REST + 1).to_bytes(2, "big"),
    ],
    ids=["nothing", "SMTP", "version 1", "cut", "version 1 in octets", "odd command", "short", "short 6", "long"],
)  # fmt: skip
def test_what_is_no_header(data: bytes) -> None:
    with pytest.raises(BadHeader):
        read_head(data[:FIXED])


@given(st.binary(min_size=FIXED, max_size=FIXED))
def test_any_octets_are_a_head_or_refused(data: bytes) -> None:
    try:
        head = read_head(data)
    except BadHeader:
        return
    assert head.rest <= MAX_REST
    read_address(head, bytes(head.rest))
