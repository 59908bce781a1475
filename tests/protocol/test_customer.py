"""The customer's machine: up to the turn, and every way not to get there."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.customer import CustomerConnection, CustomerProfile
from shared.protocol.events import Checked, CustomerEvent, Refused, Say, StartTls, Turned, Waiting
from shared.protocol.sasl import scram
from shared.protocol.sasl.client import Login
from shared.protocol.sasl.cram_md5 import respond
from tests.protocol.cutting import cuts

PROFILE = CustomerProfile(
    "c.example", Login("tim", b"tanstaaftanstaaf", "nonce"), ("a.example", "b.example"), require_tls=False
)
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
    profile = CustomerProfile("c.example", Login("tim", b"secret"), require_tls=True)
    events, _ = run([HELLO, b""], profile)
    assert isinstance(events[-1], Refused) and events[-1].reply.code == 500
    assert [event.data for event in events if isinstance(event, Say)] == [b"EHLO c.example\r\n"]


def test_bytes_before_the_handshake_are_refused() -> None:
    profile = CustomerProfile("c.example", Login("tim", b"secret"), require_tls=True)
    hello = b"220 mx\r\n250-mx\r\n250 STARTTLS\r\n"
    events, _ = run([hello + b"220 go\r\n250 injected\r\n"], profile)
    assert isinstance(events[-1], Refused)
    events, _ = run([hello, b"220 go\r\n"], profile)
    assert isinstance(events[-1], StartTls)


def test_the_secret_does_not_print() -> None:
    assert "tanstaaf" not in repr(PROFILE)


def login_at(offered: str, login: Login, *, under_tls: bool) -> list[bytes]:
    """What is said to a provider that offers these mechanisms, up to AUTH."""
    profile = CustomerProfile("c.example", login, require_tls=False)
    machine = CustomerConnection(profile, under_tls=under_tls)
    machine.receive_data(f"220 mx\r\n250-mx\r\n250-AUTH {offered}\r\n250 ATRN\r\n".encode())
    said = []
    while isinstance(event := machine.next_event(), Say):
        said.append(event.data)
    return said


ALL = "PLAIN CRAM-MD5 EXTERNAL SCRAM-SHA-256 LOGIN"


@pytest.mark.parametrize(
    ("offered", "has_certificate", "under_tls", "taken"),
    [
        (ALL, True, True, b"AUTH SCRAM-SHA-256 "),
        ("PLAIN CRAM-MD5 EXTERNAL", True, True, b"AUTH EXTERNAL =\r\n"),
        ("PLAIN CRAM-MD5 EXTERNAL", True, False, b"AUTH CRAM-MD5\r\n"),
        ("PLAIN CRAM-MD5 EXTERNAL", False, True, b"AUTH CRAM-MD5\r\n"),
        ("PLAIN", False, True, b"AUTH PLAIN AHRpbQBzZWNyZXQ=\r\n"),
        ("PLAIN", False, False, None),
        ("LOGIN", True, True, None),
    ],
)
def test_r91_the_best_mechanism_that_the_line_is_fit_for(
    offered: str, has_certificate: bool, under_tls: bool, taken: bytes | None
) -> None:
    said = login_at(offered, Login("tim", b"secret", "nonce", has_certificate), under_tls=under_tls)
    assert len(said) == (1 if taken is None else 2)
    assert taken is None or said[1].startswith(taken)


def test_a_mechanism_that_is_named_is_the_only_one() -> None:
    """A provider that was stripped of SCRAM hears nothing of the secret."""
    login = Login("tim", b"secret", "nonce", mechanisms=("SCRAM-SHA-256",))
    assert len(login_at("PLAIN CRAM-MD5", login, under_tls=True)) == 1


def scram_session(final: bytes | None, last: bytes) -> CustomerEvent:
    """A login by SCRAM; the provider's last words instead of its proof where they are given."""
    login = Login("tim", b"secret", "nonce")
    machine = CustomerConnection(CustomerProfile("c.example", login, require_tls=False))
    machine.receive_data(b"220 mx\r\n250-mx\r\n250-AUTH SCRAM-SHA-256\r\n250 ATRN\r\n")
    keys = scram.derive(b"secret", b"salt")
    said = b""
    while isinstance(event := machine.next_event(), Say):
        said = event.data
    first = scram.parse_client_first(base64.b64decode(said.split()[2]))
    assert first is not None
    challenge = scram.server_first(first, "theirs", keys.salt, keys.iterations)
    machine.receive_data(b"334 " + base64.b64encode(challenge) + b"\r\n")
    answer = machine.next_event()
    assert isinstance(answer, Say)
    parsed = scram.parse_client_final(base64.b64decode(answer.data))
    assert parsed is not None and scram.is_proof(first, challenge, parsed, keys)
    proof = scram.server_final(first, challenge, parsed, keys) if final is None else final
    machine.receive_data(b"334 " + base64.b64encode(proof) + b"\r\n" + last if proof else last)
    event = machine.next_event()
    while event == Say(b"\r\n"):
        event = machine.next_event()
    return event


def test_scram_up_to_atrn() -> None:
    assert scram_session(None, b"235 ok\r\n") == Say(b"ATRN\r\n")


@pytest.mark.parametrize("final", [b"", b"v=AAAA", b"e=other-error", b"nonsense"])
def test_a_provider_that_does_not_prove_that_it_knows_the_secret_is_left(final: bytes) -> None:
    event = scram_session(final, b"235 ok\r\n")
    assert isinstance(event, Refused) and event.reply.code == 500


def test_a_check_takes_no_mail() -> None:
    profile = CustomerProfile("c.example", Login("tim", b"secret"), require_tls=False, only_checks=True)
    hello = b"220 mx\r\n250-mx\r\n250-AUTH CRAM-MD5\r\n250-XODMR LIVE STAT ID\r\n250 ATRN\r\n334 YQ==\r\n235 ok\r\n"
    events, _ = run([hello + b"250 2.0.0 messages=3 octets=9\r\n"], profile)
    assert events[-1] == Checked("2.0.0 messages=3 octets=9")
    events, _ = run([HELLO + b"334 YQ==\r\n235 ok\r\n"], profile)
    assert isinstance(events[-1], Checked)
