"""The provider's machine: the tables walked whole, the places where the line changes, any cut of the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol import reply as r
from shared.protocol.events import (
    AuthStep,
    Continue,
    Counted,
    Denied,
    Ended,
    Granted,
    ProviderAnswer,
    Refuse,
    Say,
    Shutdown,
    StartTls,
    Turn,
    TurnRequested,
    Unavailable,
    Waiting,
)
from shared.protocol.provider import MAX_ERRORS, MAX_JUNK, LocalProtocolError, ProviderConnection, ProviderProfile
from shared.protocol.states import ANSWERS, COMMANDS, ELSEWHERE, State, refusal
from tests.protocol.cutting import cuts
from tests.protocol.memory_provider import MemoryProvider

PROFILE = ProviderProfile("mx.provider.example", has_starttls=True)
ALL_ANSWERS: list[ProviderAnswer] = [
    Continue(b"<1@mx>"), Granted(), Denied(), Unavailable(), Turn(), Refuse(r.S453_NO_MAIL), Counted(1, 2),
    Shutdown(r.S421_IDLE),
]  # fmt: skip


def machine_in(state: State) -> ProviderConnection:
    """A machine brought there by its own moves."""
    machine = ProviderConnection(PROFILE)
    steps: dict[State, list[bytes | ProviderAnswer]] = {
        State.CONNECTED: [],
        State.INITIAL: [b"EHLO c\r\n"],
        State.SECURING: [b"EHLO c\r\n", b"STARTTLS\r\n"],
        State.VERIFYING: [b"EHLO c\r\n", b"AUTH CRAM-MD5\r\n"],
        State.CHALLENGED: [b"EHLO c\r\n", b"AUTH CRAM-MD5\r\n", Continue(b"<1@mx>")],
        State.AUTHENTICATED: [b"EHLO c\r\n", b"AUTH CRAM-MD5\r\n", Granted()],
        State.COUNTING: [b"EHLO c\r\n", b"AUTH CRAM-MD5\r\n", Granted(), b"XODMR STAT\r\n"],
        State.TURNING: [b"EHLO c\r\n", b"AUTH CRAM-MD5\r\n", Granted(), b"ATRN\r\n"],
        State.TURNED: [b"EHLO c\r\n", b"AUTH CRAM-MD5\r\n", Granted(), b"ATRN\r\n", Turn()],
        State.CLOSED: [b"QUIT\r\n"],
    }
    for step in steps[state]:
        if isinstance(step, bytes):
            machine.receive_data(step)
            machine.next_event()
        else:
            machine.send(step)
    assert machine.state is state
    return machine


ARGUMENTS = {"EHLO": " c", "AUTH": " CRAM-MD5", "ATRN": " example.org"}


@pytest.mark.parametrize("state", COMMANDS)
@pytest.mark.parametrize("verb", sorted(ELSEWHERE | {"XODMR", "XYZZY"}))
def test_every_verb_in_every_state_is_as_the_table_says(state: State, verb: str) -> None:
    machine = machine_in(state)
    machine.receive_data(f"{verb}{ARGUMENTS.get(verb, '')}\r\n".encode())
    event = machine.next_event()
    leads_to = COMMANDS[state].get(verb)
    if leads_to is None:
        assert isinstance(event, Say) and event.data == refusal(state, verb).to_wire()
        assert machine.state is state
    else:
        assert machine.state is leads_to
        assert not (isinstance(event, Say) and event.data[:1] in (b"4", b"5"))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("answer", ALL_ANSWERS, ids=lambda answer: type(answer).__name__)
def test_every_answer_in_every_state_is_as_the_table_says(state: State, answer: ProviderAnswer) -> None:
    machine = machine_in(state)
    leads_to = ANSWERS.get(state, {}).get(type(answer))
    if leads_to is None:
        with pytest.raises(LocalProtocolError):
            machine.send(answer)
        assert machine.state is state
    else:
        machine.send(answer)
        assert machine.state is leads_to


def test_no_arrow_leads_back_from_the_turn() -> None:
    assert State.TURNED not in COMMANDS and State.TURNED not in ANSWERS


def test_r18_bytes_behind_starttls_end_the_connection() -> None:
    machine = machine_in(State.INITIAL)
    machine.receive_data(b"STARTTLS\r\nEHLO injected\r\n")
    event = machine.next_event()
    assert isinstance(event, Say) and event.data.startswith(b"421 ")
    assert isinstance(machine.next_event(), Ended)


def test_r17_after_the_handshake_nothing_is_remembered() -> None:
    machine = machine_in(State.SECURING)
    machine.tls_started()
    assert machine.state is State.CONNECTED
    machine.receive_data(b"EHLO c\r\nSTARTTLS\r\n")
    hello = machine.next_event()
    assert isinstance(hello, Say) and b"STARTTLS" not in hello.data
    second = machine.next_event()
    assert isinstance(second, Say) and second.data.startswith(b"503 ")


def test_bytes_before_the_reply_to_atrn_end_the_connection() -> None:
    machine = machine_in(State.TURNING)
    machine.receive_data(b"220 too early\r\n")
    assert machine.send(Turn()).startswith(b"421 ")
    assert machine.state is State.CLOSED


def test_r06_atrn_behind_auth_waits_for_the_235() -> None:
    machine = machine_in(State.CHALLENGED)
    machine.receive_data(b"YSBi\r\nATRN\r\n")
    assert isinstance(machine.next_event(), AuthStep)
    assert machine.next_event() is Waiting.PAUSED
    assert machine.send(Granted()).startswith(b"235 ")
    assert isinstance(machine.next_event(), TurnRequested)


def test_r12_nobody_can_say_is_454() -> None:
    assert machine_in(State.VERIFYING).send(Unavailable()).startswith(b"454 4.7.0 ")


def test_r02_what_ehlo_lists() -> None:
    for under_tls in (False, True):
        machine = ProviderConnection(PROFILE, under_tls=under_tls)
        machine.receive_data(b"EHLO c\r\n")
        event = machine.next_event()
        assert isinstance(event, Say)
        assert b"AUTH CRAM-MD5\r\n" in event.data and b"ATRN\r\n" in event.data
        assert (b"STARTTLS" in event.data) is not under_tls


def test_no_auth_is_listed_or_taken_where_none_may_be_used() -> None:
    machine = ProviderConnection(ProviderProfile("mx", mechanisms_in_clear=(), has_starttls=True))
    machine.receive_data(b"EHLO c\r\nAUTH CRAM-MD5\r\n")
    hello, refused = machine.next_event(), machine.next_event()
    assert isinstance(hello, Say) and b"AUTH" not in hello.data
    assert isinstance(refused, Say) and refused.data.startswith(b"504 ")


@pytest.mark.parametrize(
    ("line", "limit"), [(b"XYZZY\r\n", MAX_ERRORS), (b"NOOP\r\n", MAX_JUNK), (b"EHLO c\r\n", MAX_JUNK)]
)
def test_a_flood_ends_with_421(line: bytes, limit: int) -> None:
    machine = ProviderConnection(PROFILE)
    machine.receive_data(line * (limit + 5))
    said = [event.data for _ in range(limit + 1) if isinstance(event := machine.next_event(), Say)]
    assert not any(data.startswith(b"421") for data in said[:limit])
    assert said[limit].startswith(b"421 ")
    assert isinstance(machine.next_event(), Ended)


SCRIPT = (
    b"ATRN\r\nEHLO c\r\nSTARTTLS x\r\nauth cram-md5\r\n*\r\nAUTH CRAM-MD5\r\nbm9ib2R5IDAwMTEyMjMzNDQ1NTY2Nzc4ODk5YWFiYmNjZGRlZWZm\r\n"
    b"NOOP\r\nFOO\nAUTH PLAIN AA==\r\n" + b"x" * 13_000 + b"\r\nMAIL FROM:<a@b>\r\nQUIT\r\n"
)


@given(st.data())
def test_any_cut_gives_the_same_events(data: st.DataObject) -> None:
    whole, cut = MemoryProvider(), MemoryProvider()
    said_whole = whole.receive(SCRIPT)
    said_cut = b"".join(cut.receive(piece) for piece in data.draw(cuts(SCRIPT)))
    assert said_cut == said_whole
    assert cut.events == whole.events
    assert cut.is_closed and whole.is_closed


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_no_bytes_do_more_than_get_an_answer(pieces: list[bytes]) -> None:
    provider = MemoryProvider(("example.org",))
    for piece in pieces:
        if not provider.is_closed:
            provider.receive(piece)
    assert not any(isinstance(event, TurnRequested) for event in provider.events)


def test_the_challenge_and_starttls_events() -> None:
    machine = machine_in(State.INITIAL)
    machine.receive_data(b"STARTTLS\r\n")
    assert machine.next_event() == StartTls(r.S220_READY_FOR_TLS.to_wire())
