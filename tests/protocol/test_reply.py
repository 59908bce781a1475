"""Replies: ours are what their names say; the peer's are bounded."""

import re

import pytest

from shared.protocol import reply as replies
from shared.protocol.reply import MAX_KEPT_REPLY, MAX_REPLY_LINES, BadReply, Reply, ReplyReader

CONSTANTS = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_name_has_its_code(name: str) -> None:
    reply = CONSTANTS[name]
    assert int(name[1:4]) == reply.code
    if reply.enhanced:  # RFC 2034 4: the class of the enhanced code is that of the code
        assert reply.enhanced.split(".")[0] == str(reply.code)[0]
        assert re.fullmatch(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", reply.enhanced)
    else:
        assert reply.code == 354  # greeting and EHLO are made by functions
    assert reply.to_wire().isascii() and reply.to_wire().endswith(b"\r\n")


def test_r37_no_enhanced_code_in_greeting_and_ehlo() -> None:
    assert replies.greeting("mx.example", "ESMTP").to_wire() == b"220 mx.example ESMTP\r\n"
    assert replies.hello("mx.example", ("A", "B")).to_wire() == b"250-mx.example\r\n250-A\r\n250 B\r\n"


def test_r32_the_reply_to_atrn_is_one_line() -> None:
    for reply in (replies.S250_TURNING, replies.S450_NOT_YOURS, replies.S451_CANNOT_TURN, replies.S453_NO_MAIL):
        assert len(reply.lines) == 1


def test_the_enhanced_code_stands_on_each_line() -> None:
    assert Reply(250, "2.0.0", ("a", "b")).to_wire() == b"250-2.0.0 a\r\n250 2.0.0 b\r\n"


@pytest.mark.parametrize(
    ("lines", "code", "text"),
    [
        ([b"250 ok"], 250, ("ok",)),
        ([b"250"], 250, ("",)),
        ([b"250 "], 250, ("",)),
        ([b"250-a", b"250-b", b"250 c"], 250, ("a", "b", "c")),
        ([b"421-\xff", b"421 \x1b[2J"], 421, ("\xff", "\x1b[2J")),
    ],
)
def test_reading(lines: list[bytes], code: int, text: tuple[str, ...]) -> None:
    reader = ReplyReader()
    assert [reader.add(line) for line in lines[:-1]] == [None] * (len(lines) - 1)
    assert reader.add(lines[-1]) == Reply(code, "", text)


@pytest.mark.parametrize(
    "lines", [[b"ok"], [b""], [b"25 ok"], [b"2500"], [b"150 x"], [b"600 x"], [b"250-a", b"251 b"], [b"250+x"]]
)
def test_what_is_no_reply(lines: list[bytes]) -> None:
    reader = ReplyReader()
    with pytest.raises(BadReply):
        for line in lines:
            reader.add(line)


def test_a_reply_without_end_is_none() -> None:
    reader = ReplyReader()
    with pytest.raises(BadReply):
        for _ in range(MAX_REPLY_LINES + 1):
            reader.add(b"250-more")


def test_a_kept_reply_is_printable_and_bounded() -> None:
    """OpenSMTPD CVE-2020-8794: a hostile reply must not become a line of anything."""
    kept = str(Reply(550, "", ("a\r\nb\0\x1b\u2028", "x" * 600)))
    assert kept.isprintable() and kept.isascii() and len(kept) <= MAX_KEPT_REPLY
    assert kept.startswith("550 a\\x0d\\x0ab\\x00\\x1b\\x2028")
