"""DSN parameters: what is taken, what is refused, and what is passed on. RFC 3461 4."""

import pytest

from shared.protocol.flight import Transaction
from shared.protocol.grammar import BadSyntax, parse_mail, parse_rcpt
from shared.protocol.notification import decode_xtext, of_mail, of_rcpt, value_of, wants


@pytest.mark.parametrize(
    ("argument", "wire"),
    [
        ("FROM:<a@b.example>", ""),
        ("FROM:<a@b.example> SIZE=1 RET=HDRS", "RET=HDRS"),
        ("FROM:<a@b.example> envid=QQ+2B314159 ret=full", "RET=full ENVID=QQ+2B314159"),
    ],
)
def test_mail_is_kept_in_wire_form(argument: str, wire: str) -> None:
    assert of_mail(parse_mail(argument).parameters) == wire


@pytest.mark.parametrize(
    ("argument", "wire"),
    [
        ("TO:<a@b.example>", ""),
        ("TO:<a@b.example> NOTIFY=NEVER", "NOTIFY=NEVER"),
        ("TO:<a@b.example> NOTIFY=success,Failure,DELAY ORCPT=rfc822;Bob+2BTag@b.example", "NOTIFY=success,Failure,DELAY ORCPT=rfc822;Bob+2BTag@b.example"),
        ("TO:<a@b.example> ORCPT=utf-8;\\x{E4}@b.example", "ORCPT=utf-8;\\x{E4}@b.example"),
        ("TO:<a@b.example> ORCPT=utf-8;ä@b.example", "ORCPT=utf-8;ä@b.example"),
    ],
)  # fmt: skip
def test_rcpt_is_kept_in_wire_form(argument: str, wire: str) -> None:
    assert of_rcpt(parse_rcpt(argument).parameters) == wire


@pytest.mark.parametrize("words", ["RET=", "RET=ALL", "ENVID=", "ENVID=a+2b", "ENVID=" + "x" * 101, "ENVID=ä"])
def test_bad_mail_parameters(words: str) -> None:
    with pytest.raises(BadSyntax):
        of_mail(parse_mail(f"FROM:<a@b.example> {words}").parameters)


@pytest.mark.parametrize(
    "words",
    [
        "NOTIFY=", "NOTIFY=NEVER,SUCCESS", "NOTIFY=SUCCESS,SUCCESS", "NOTIFY=SOMETIMES", "ORCPT=", "ORCPT=rfc822", "ORCPT=rfc822;",
        "ORCPT=rfc822;a+zz", "ORCPT=rfc822;" + "x" * 500, "NOTIFY=NEVER NOTIFY=NEVER",
    ],
)  # fmt: skip
def test_bad_rcpt_parameters(words: str) -> None:
    with pytest.raises(BadSyntax):
        of_rcpt(parse_rcpt(f"TO:<a@b.example> {words}").parameters)


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ("", {"FAILURE", "DELAY"}),
        ("ORCPT=rfc822;a@b.example", {"FAILURE", "DELAY"}),
        ("NOTIFY=NEVER", set()),
        ("NOTIFY=SUCCESS", {"SUCCESS"}),
        ("NOTIFY=success,failure ORCPT=rfc822;a@b.example", {"SUCCESS", "FAILURE"}),
    ],
)
def test_what_a_sender_wants_to_hear(parameters: str, wanted: set[str]) -> None:
    assert {event for event in ("SUCCESS", "FAILURE", "DELAY") if wants(event, parameters)} == wanted


def test_xtext_cannot_begin_a_header_field() -> None:
    assert decode_xtext("a+2Bb+0D+0ABcc:+20x+00") == "a+b??Bcc: x?"
    assert value_of("ENVID", "RET=HDRS ENVID=x+2By") == "x+2By" and value_of("ENVID", "RET=HDRS") == ""


ALL = {"SIZE": "0", "8BITMIME": "", "SMTPUTF8": "", "DSN": ""}
MESSAGE = Transaction(
    1, "ä@b.example", ("ü@c.example", "v@c.example"), 10, has_eight_bit=True, needs_smtputf8=True,
    mail_parameters="RET=HDRS ENVID=x", rcpt_parameters=("NOTIFY=NEVER", ""), id="abc",
)  # fmt: skip


def test_r46_a_server_is_told_what_it_offers_to_take_and_nothing_else() -> None:
    """R46, R56: each parameter goes out exactly where the server's EHLO lists its extension."""
    assert MESSAGE.mail_command(ALL) == (
        "MAIL FROM:<ä@b.example> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x XODMRID=abc"
    )
    assert [MESSAGE.rcpt_command(i, ALL) for i in (0, 1)] == [
        "RCPT TO:<ü@c.example> NOTIFY=NEVER",
        "RCPT TO:<v@c.example>",
    ]
    plain = Transaction(
        1, "a@b.example", ("u@c.example",), 10, mail_parameters="RET=HDRS", rcpt_parameters=("NOTIFY=NEVER",)
    )
    assert plain.mail_command({}) == "MAIL FROM:<a@b.example>" and plain.rcpt_command(0, {}) == "RCPT TO:<u@c.example>"
    assert plain.mail_command({"SMTPUTF8": "", "DSN": ""}) == "MAIL FROM:<a@b.example> RET=HDRS"
