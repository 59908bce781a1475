"""The beginning of a session with a stranger's server. RFC 3207, RFC 7435; RELIABILITY T4b."""

import pytest
from hypothesis import given

from shared.protocol.events import Waiting
from shared.protocol.opening import HandshakeDue, NotOpened, Opened, Opening, OpeningEvent
from tests.protocol.cutting import cuts


def converse(*pieces: bytes, wants_tls: bool = True) -> tuple[OpeningEvent, bytes]:
    opening, said = Opening("mx.example", wants_tls=wants_tls), b""
    event: OpeningEvent = opening.next_event()
    for piece in pieces:
        opening.receive_data(piece)
        event = opening.next_event()
        said += opening.data_to_send()
        if not isinstance(event, Waiting):
            break
    return event, said


TLS = b"250-x\r\n250-SIZE 1\r\n250 STARTTLS\r\n"


@pytest.mark.parametrize(
    ("pieces", "event", "said"),
    [
        ((b"220 x\r\n", TLS, b"220 go\r\n"), HandshakeDue(), b"EHLO mx.example\r\nSTARTTLS\r\n"),
        ((b"220 x\r\n", TLS, b"454 not now\r\n"), Opened(), b"EHLO mx.example\r\nSTARTTLS\r\n"),
        ((b"220 x\r\n", b"250 x\r\n"), Opened(), b"EHLO mx.example\r\n"),
        ((b"220 x\r\n", b"502 what\r\n"), Opened(), b"EHLO mx.example\r\n"),
    ],
)
def test_it_opens(pieces: tuple[bytes, ...], event: OpeningEvent, said: bytes) -> None:
    assert converse(*pieces) == (event, said)


def test_it_does_not_ask_for_tls_where_it_failed() -> None:
    assert converse(b"220 x\r\n", TLS, wants_tls=False) == (Opened(), b"EHLO mx.example\r\n")


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ((b"554 go away\r\n",), "greeting: 554 go away"),
        ((b"",), "closed instead of a reply to greeting"),
        ((b"220 x\r\n", b"421 busy\r\n"), "EHLO: 421 busy"),
        ((b"220 x\r\n", TLS, b"220 go\r\n220 injected\r\n"), "octets in clear behind the reply to STARTTLS"),
        ((b"hello\r\n",), "no reply: BadReply"),
        ((b"220" + b"x" * 5_000 + b"\n",), "no reply: LineTooLong"),
    ],
)
def test_it_does_not_open(pieces: tuple[bytes, ...], why: str) -> None:
    event, _ = converse(*pieces)
    assert isinstance(event, NotOpened) and event.why.startswith(why)


@given(cuts(b"220 x\r\n" + TLS + b"220 go\r\n"))
def test_any_cut_gives_the_same_end(pieces: list[bytes]) -> None:
    assert converse(*pieces) == (HandshakeDue(), b"EHLO mx.example\r\nSTARTTLS\r\n")
