"""Commands and addresses: what passes, and what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.grammar import (
    BadSyntax,
    Command,
    decode_base64,
    is_domain,
    parse_atrn,
    parse_auth,
    parse_command,
    parse_mail,
    parse_rcpt,
)


@pytest.mark.parametrize(
    ("line", "verb", "argument"),
    [
        (b"EHLO a.example", "EHLO", "a.example"),
        (b"ehlo   a  ", "EHLO", "a"),
        (b"QUIT", "QUIT", ""),
        (b"mail FROM:<a@b.example>", "MAIL", "FROM:<a@b.example>"),
    ],
)
def test_commands(line: bytes, verb: str, argument: str) -> None:
    assert parse_command(line) == Command(verb, argument)


@pytest.mark.parametrize(
    "line", [b"", b" EHLO", b"EHLO a\rb", b"EHLO a\0", b"EHLO \xff", b"X1 a", b"EHLO\ta", b"EHLO a\x1b"]
)
def test_what_is_no_command(line: bytes) -> None:
    with pytest.raises(BadSyntax):
        parse_command(line)


@pytest.mark.parametrize(
    ("argument", "domains"),
    [
        ("", ()),
        ("example.org", ("example.org",)),
        ("example.org,example.com", ("example.org", "example.com")),
        ("Example.ORG, example.com,", ("example.org", "example.com")),
        ("a.example,A.EXAMPLE", ("a.example",)),
        ("vm", ("vm",)),
        ("x" * 63 + ".example", ("x" * 63 + ".example",)),
    ],
)
def test_atrn(argument: str, domains: tuple[str, ...]) -> None:
    assert parse_atrn(argument) == domains


@pytest.mark.parametrize(
    "argument",
    [
        ",", "a.example,,b.example", ",a.example", "-a.example", "a-.example", "a..example", ".a.example", "a.example.",
        "*", "*.example", ">", "a_b.example", "[127.0.0.1]", "a b.example", "ä.example", "%", "x" * 64 + ".example",
        ",".join(f"d{i}.example" for i in range(1_001)), ".".join(["x" * 60] * 5),
    ],
)  # fmt: skip
def test_what_is_no_atrn(argument: str) -> None:
    with pytest.raises(BadSyntax):
        parse_atrn(argument)


@pytest.mark.parametrize(
    ("argument", "path", "parameters"),
    [
        ("FROM:<>", "", {}),
        ("FROM:<a@b.example>", "a@b.example", {}),
        ("from: <a@b.example> SIZE=10 body=8BITMIME", "a@b.example", {"SIZE": "10", "BODY": "8BITMIME"}),
        ("FROM:<@x.example,@y.example:a@b.example>", "a@b.example", {}),
        ('FROM:<"a b"@b.example>', '"a b"@b.example', {}),
        ('FROM:<"x@y"@b.example>', '"x@y"@b.example', {}),
        ("FROM:<a%c@b.example>", "a%c@b.example", {}),
        ("FROM:<a@[192.0.2.1]>", "a@[192.0.2.1]", {}),
        (f"FROM:<{'x' * 64}@b.example>", "x" * 64 + "@b.example", {}),
    ],
)
def test_mail(argument: str, path: str, parameters: dict[str, str]) -> None:
    command = parse_mail(argument)
    assert (str(command.path), command.parameters) == (path, parameters)


@pytest.mark.parametrize(
    "argument",
    [
        "", "FROM", "FROM:", "FROM:a@b.example", "FROM:<a>", "FROM:<a@>", "FROM:<@b.example>", "FROM:<a@b.example",
        "FROM:<a@b@c.example>", "FROM:<a b@c.example>", "FROM:<.a@b.example>", "FROM:<a..b@c.example>",
        "FROM:<a@b.example>SIZE=1", "FROM:<a@b.example> SIZE=1 SIZE=2", "FROM:<a@b.example> =", "TO:<a@b.example>",
        f"FROM:<{'x' * 65}@b.example>", f"FROM:<a@{'x' * 64}.example>", f"FROM:<a@{'.'.join(['x' * 50] * 6)}>",
        "FROM:<a!b.example>", "FROM:<a@b_c.example>", 'FROM:<"a"b@c.example>',
    ],
)  # fmt: skip
def test_what_is_no_mail(argument: str) -> None:
    with pytest.raises(BadSyntax):
        parse_mail(argument)


def test_postmaster_needs_no_domain() -> None:
    path = parse_rcpt("TO:<Postmaster>").path
    assert (path.local_part, path.domain) == ("postmaster", "")


@pytest.mark.parametrize(("text", "data"), [("=", b""), ("dGVzdA==", b"test"), ("", b"")])
def test_base64(text: str, data: bytes) -> None:
    assert decode_base64(text) == data


@pytest.mark.parametrize("text", ["dGVzdA", "dGV=zdA=", "dGVz dA==", "\xff", "*", "dGVzdA==="])
def test_what_is_no_base64(text: str) -> None:
    with pytest.raises(BadSyntax):
        decode_base64(text)


def test_auth() -> None:
    assert parse_auth("cram-md5") == ("CRAM-MD5", None)
    assert parse_auth("PLAIN AGE=") == ("PLAIN", "AGE=")
    for bad in ("", "A B C", "A" * 21, "CRAM/MD5"):
        with pytest.raises(BadSyntax):
            parse_auth(bad)


@given(st.binary(max_size=80))
def test_no_line_does_more_than_raise_bad_syntax(line: bytes) -> None:
    try:
        command = parse_command(line)
    except BadSyntax:
        return
    for parse in (parse_atrn, parse_mail, parse_rcpt, parse_auth):
        try:
            parse(command.argument)
        except BadSyntax:
            pass


def test_is_domain() -> None:
    assert is_domain("a.b-c.example") and not is_domain("a.example\n") and not is_domain("")
