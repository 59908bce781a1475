"""CRAM-MD5 by RFC 2195's own example. R5."""

from shared.protocol.sasl.cram_md5 import is_proof, parse_response, respond

CHALLENGE = b"<1896.697170952@postoffice.reston.mci.net>"
SECRET = b"tanstaaftanstaaf"
RESPONSE = b"tim b913a602c7eda7a495b4e6e7334d3890"


def test_the_rfcs_example() -> None:
    assert respond("tim", SECRET, CHALLENGE) == RESPONSE
    parsed = parse_response(RESPONSE)
    assert parsed is not None and parsed.authcid == "tim"
    assert is_proof(parsed, SECRET, CHALLENGE)
    assert not is_proof(parsed, SECRET, CHALLENGE + b" ")
    assert not is_proof(parsed, b"wrong", CHALLENGE)


def test_upper_case_and_a_trailing_line_feed_are_tolerated() -> None:
    parsed = parse_response(b"a b B913A602C7EDA7A495B4E6E7334D3890\n")
    assert parsed is not None and parsed.authcid == "a b" and is_proof(parsed, SECRET, CHALLENGE)


def test_what_is_no_response() -> None:
    for bad in (
        b"",
        b"tim",
        b"tim " + b"0" * 31,
        b"tim " + b"g" * 32,
        b" " + b"0" * 32,
        b"\xff " + b"0" * 32,
        b"a\0b " + b"0" * 32,
    ):
        assert parse_response(bad) is None, bad
