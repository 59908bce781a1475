"""DSNs as mail programs read them: Python's email package, and flufl.bounce, which lists of addresses are cleaned with."""

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from flufl.bounce import all_failures
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.dsn import Kind, Original, Told, compose, is_owed, status_of

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
HEADER = b"Received: x\r\nFrom: a@remote.example\r\nSubject: hello\r\n"
ORIGINAL = Original("a@remote.example", "RET=FULL ENVID=QQ+2B31", NOW, HEADER)
BOB = Told(
    "bob@demo.example", "NOTIFY=FAILURE ORCPT=rfc822;Bob+2Bx@Demo.example", "failed", "550 5.1.1 no such user", NOW
)
EVE = Told("eve@demo.example", "", "expired", "451 4.2.0 later", None)


def notice(kind: Kind, original: Original, *told: Told) -> EmailMessage:
    text = compose(kind, original, told, hostname="mx.provider.example", name="0123abcd", now=NOW)
    made = email.message_from_bytes(text, policy=email.policy.default)
    assert isinstance(made, EmailMessage) and not made.defects
    return made


def fields(made: EmailMessage) -> list[Any]:
    """The groups of the delivery-status part."""
    part = list(made.iter_parts())[1]
    assert part.get_content_type() == "message/delivery-status"
    groups = part.get_payload()
    assert isinstance(groups, list)
    return groups


def test_a_failure_is_read_to_the_right_status_and_recipient() -> None:
    made = notice(Kind.FAILED, ORIGINAL, BOB, EVE)
    assert made.get_content_type() == "multipart/report" and made.get_param("report-type") == "delivery-status"
    assert (made["From"], made["To"], made["Auto-Submitted"]) == (
        "Mail Delivery System <MAILER-DAEMON@mx.provider.example>",
        "a@remote.example",
        "auto-replied",
    )
    whole, bob, eve = fields(made)
    assert (whole["Reporting-MTA"], whole["Original-Envelope-Id"]) == ("dns; mx.provider.example", "QQ+31")
    assert (bob["Original-Recipient"], bob["Final-Recipient"]) == (
        "rfc822;Bob+x@Demo.example",
        "rfc822;bob@demo.example",
    )
    assert (bob["Action"], bob["Status"], bob["Diagnostic-Code"]) == ("failed", "5.1.1", "smtp; 550 5.1.1 no such user")
    assert (eve["Action"], eve["Status"], eve["Original-Recipient"]) == ("failed", "4.4.7", None)
    returned = list(made.iter_parts())[2]
    assert returned.get_content_type() == "text/rfc822-headers"
    assert b"Subject: hello" in returned.get_payload(decode=True)
    temporary, permanent = all_failures(made)
    assert not temporary and sorted(permanent) == [b"Bob+x@Demo.example", b"eve@demo.example"]


@pytest.mark.parametrize(
    ("kind", "told", "action", "status"),
    [
        (Kind.DELAYED, Told("u@demo.example", "", "queued", "", None), "delayed", "4.0.0"),
        (Kind.DELAYED, Told("u@demo.example", "", "queued", "450 4.2.1 busy", None), "delayed", "4.2.1"),
        (Kind.RELAYED, Told("u@demo.example", "NOTIFY=SUCCESS", "delivered", "250 2.0.0 ok", NOW), "relayed", "2.0.0"),
        (Kind.FAILED, Told("u@demo.example", "", "failed", "554 no", NOW), "failed", "5.0.0"),
        (Kind.FAILED, Told("u@demo.example", "", "failed", "554 4.1.1 lies", NOW), "failed", "5.0.0"),
        (Kind.FAILED, Told("u@demo.example", "", "failed", "needs SMTPUTF8", NOW), "failed", "5.6.7"),
        (Kind.FAILED, Told("u@demo.example", "", "failed", "over the server's SIZE", NOW), "failed", "5.3.4"),
    ],
)
def test_each_kind_has_its_action_and_status(kind: Kind, told: Told, action: str, status: str) -> None:
    _, one = fields(notice(kind, ORIGINAL, told))
    assert (one["Action"], one["Status"]) == (action, status)


def test_what_is_not_ascii_is_escaped_or_quoted() -> None:
    """RFC 6533: the addresses escaped, the header quoted; the notice itself needs SMTPUTF8 only for its own To."""
    original = Original("a@remote.example", "", NOW, "Subject: Grüße\r\nX-Bad: \xff\r\n".encode("latin-1"))
    text = compose(Kind.FAILED, original, (Told("jörg@demo.example", "ORCPT=utf-8;jörg@demo.example", "failed", "550 5.1.1 jörg?", NOW),), hostname="mx.example", name="n", now=NOW)  # fmt: skip
    assert text.isascii()
    made = email.message_from_bytes(text, policy=email.policy.default)
    assert isinstance(made, EmailMessage)
    _, one = fields(made)
    assert one["Final-Recipient"] == "utf-8;j\\x{F6}rg@demo.example" == one["Original-Recipient"]
    last = text.split(b"\r\n--=_n\r\n")[-1]
    assert last.startswith(
        b"Content-Type: message/global-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    assert b"Subject: Gr=FC=DFe\r\nX-Bad: =FF\r\n" in last


@pytest.mark.parametrize(
    ("kind", "reverse_path", "parameters", "owed"),
    [
        (Kind.FAILED, "a@b.example", "", True), (Kind.FAILED, "", "", False), (Kind.FAILED, "a@b.example", "NOTIFY=NEVER", False),
        (Kind.FAILED, "a@b.example", "NOTIFY=SUCCESS", False), (Kind.DELAYED, "a@b.example", "", True),
        (Kind.DELAYED, "a@b.example", "NOTIFY=FAILURE", False), (Kind.RELAYED, "a@b.example", "", False),
        (Kind.RELAYED, "a@b.example", "NOTIFY=SUCCESS", True), (Kind.RELAYED, "", "NOTIFY=SUCCESS", False),
    ],
)  # fmt: skip
def test_r79_who_is_told(kind: Kind, reverse_path: str, parameters: str, owed: bool) -> None:
    assert is_owed(kind, reverse_path, parameters) is owed


@given(reply=st.text(max_size=700), header=st.binary(max_size=300))
def test_no_strangers_words_begin_a_field(reply: str, header: bytes) -> None:
    """T3, T9: whatever the server said, the groups and fields stay those that we wrote, and every line ends in CRLF."""
    told = Told("u@demo.example", "", "failed", f"550 {reply}", NOW)
    text = compose(
        Kind.FAILED,
        Original("a@b.example", "", NOW, b"Subject: x\r\n"),
        (told,),
        hostname="h.example",
        name="n",
        now=NOW,
    )
    assert b"\n" not in text.replace(b"\r\n", b"") and b"\r" not in text.replace(b"\r\n", b"") and text.isascii()
    made = email.message_from_bytes(text, policy=email.policy.default)
    assert isinstance(made, EmailMessage) and len(list(made.iter_parts())) == 3
    whole, one = fields(made)
    assert set(one.keys()) == {"Final-Recipient", "Action", "Status", "Diagnostic-Code", "Last-Attempt-Date"}
    assert len(whole.keys()) == 2 and status_of(told)[0] == "5"
