"""PLAIN (RFC 4616), EXTERNAL (RFC 4422 A) and SASLprep (RFC 4013): their grammars, by the RFCs' own examples."""

import pytest

from shared.protocol.sasl import external, plain
from shared.protocol.sasl.prep import BadString, saslprep


@pytest.mark.parametrize(
    ("message", "authzid", "authcid", "secret"),
    [
        (b"\0tim\0tanstaaftanstaaf", "", "tim", b"tanstaaftanstaaf"),
        (b"Ursel\0Kurt\0xipj3plmq", "Ursel", "Kurt", b"xipj3plmq"),
        ("\0tim\0pässword".encode(), "", "tim", "pässword".encode()),
    ],
)
def test_plain(message: bytes, authzid: str, authcid: str, secret: bytes) -> None:
    parsed = plain.parse_response(message)
    assert parsed is not None
    assert (parsed.authzid, parsed.authcid, parsed.secret) == (authzid, authcid, secret)
    assert "xipj" not in repr(parsed)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0",
        b"\0\0",
        b"\0tim\0",
        b"\0\0secret",
        b"tim\0secret",
        b"\0tim\0a\0b",
        b"\0\xff\0secret",
        b"\0" + b"x" * 256 + b"\0y",
    ],
)
def test_what_is_no_plain(message: bytes) -> None:
    assert plain.parse_response(message) is None


def test_external() -> None:
    assert external.parse_response(b"") == ""
    assert external.parse_response(b"fred@example.com") == "fred@example.com"
    for bad in (b"a\0b", b"\xff", b"x" * 300):
        assert external.parse_response(bad) is None


@pytest.mark.parametrize(
    ("text", "prepared"),
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")],
)
def test_saslprep_by_rfc_4013_3(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u06271", "a\u0627", "\ud800", "\u0221"])
def test_saslprep_forbids(text: str) -> None:
    with pytest.raises(BadString):
        saslprep(text)
