"""The customer's machine: up to the turn, and every way not to get there."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.customer import CustomerConnection, CustomerProfile
from shared.protocol.events import CustomerEvent, Refused, Say, StartTls, Turned, Waiting
from shared.protocol.sasl.cram_md5 import respond
from tests.protocol.cutting import cuts

PROFILE = CustomerProfile("c.example", "tim", b"tanstaaftanstaaf", ("a.example", "b.example"), require_tls=False)
CHALLENGE = b"<1896.697170952@postoffice.reston.mci.net>"
HELLO = b"220 mx\r\n250-mx\r\n250-AUTH CRAM-MD5\r\n250 ATRN\r\n"
SESSION = HELLO + b"334 " + base64.b64encode(CHALLENGE) + b"\r\n235 ok\r\n250 2.0.0 turning\r\nEHLO mx\r\n"


def run(data: list[bytes], profile: CustomerProfile = PROFILE) -> tuple[list[CustomerEvent], bytes]:
    machine = CustomerConnection(profile)
    events: list[CustomerEvent] = []
    early = b""
    for piece in data:
        if any(isinstance(event, Turned) for event in events):
            early += piece
            continue
        machine.receive_data(piece)
        while not isinstance(event := machine.next_event(), Waiting):
            events.append(event)
            if isinstance(event, Turned):
                early = event.early
    return events, early


@given(st.data())
def test_any_cut_gives_the_same_and_loses_no_octet(data: st.DataObject) -> None:
    """R94: no octet behind the 250 is lost or read as ours."""
    events, early = run(data.draw(cuts(SESSION)))
    assert [event.data for event in events if isinstance(event, Say)] == [
        b"EHLO c.example\r\n",
        b"AUTH CRAM-MD5\r\n",
        base64.b64encode(respond("tim", b"tanstaaftanstaaf", CHALLENGE)) + b"\r\n",
        b"ATRN a.example,b.example\r\n",
    ]
    assert isinstance(events[-1], Turned) and early == b"EHLO mx\r\n"


@pytest.mark.parametrize(
    ("said", "step", "code"),
    [
        (b"554 no\r\n", "greeting", 554),
        (b"220 mx\r\n502 what\r\n", "EHLO", 502),
        (b"220 mx\r\n250-mx\r\n250 AUTH CRAM-MD5\r\n", "EHLO", 502),
        (b"220 mx\r\n250-mx\r\n250-AUTH PLAIN\r\n250 ATRN\r\n", "EHLO", 504),
        (HELLO + b"454 later\r\n", "AUTH", 454),
        (HELLO + b"334 ***\r\n", "AUTH", 500),
        (HELLO + b"334 YQ==\r\n535 no\r\n", "AUTH response", 535),
        (HELLO + b"334 YQ==\r\n235 ok\r\n453 no mail\r\n", "ATRN", 453),
        (HELLO + b"334 YQ==\r\n235 ok\r\n450 not yours\r\n", "ATRN", 450),
        (HELLO + b"nonsense\r\n", "AUTH", 500),
        (HELLO, "AUTH", 421),
    ],
)
def test_refusals(said: bytes, step: str, code: int) -> None:
    events, _ = run([said, b""])
    assert isinstance(events[-1], Refused)
    assert (events[-1].step, events[-1].reply.code) == (step, code)


def test_r92_without_starttls_nothing_of_the_secret_is_said() -> None:
    profile = CustomerProfile("c.example", "tim", b"secret", require_tls=True)
    events, _ = run([HELLO, b""], profile)
    assert isinstance(events[-1], Refused) and events[-1].reply.code == 500
    assert [event.data for event in events if isinstance(event, Say)] == [b"EHLO c.example\r\n"]


def test_bytes_before_the_handshake_are_refused() -> None:
    profile = CustomerProfile("c.example", "tim", b"secret", require_tls=True)
    hello = b"220 mx\r\n250-mx\r\n250 STARTTLS\r\n"
    events, _ = run([hello + b"220 go\r\n250 injected\r\n"], profile)
    assert isinstance(events[-1], Refused)
    events, _ = run([hello, b"220 go\r\n"], profile)
    assert isinstance(events[-1], StartTls)


def test_the_secret_does_not_print() -> None:
    assert "tanstaaf" not in repr(PROFILE)
