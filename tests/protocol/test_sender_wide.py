"""CHUNKING: many messages in flight, and what a refusal, a break or a lie makes of each. RFC 3030; DESIGN, decided 1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.events import ContentWanted, Ready, SenderEnded, Stage, Waiting
from shared.protocol.flight import Transaction
from shared.protocol.sender import MAX_IN_FLIGHT, SmtpSender
from shared.protocol.window import MOST, START, Window
from tests.protocol.cutting import cuts
from tests.protocol.test_sender import BODY, OK, PIPELINING, Driver

CHUNKING = b"220 c\r\n250-c\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n"
NO = b"550 no\r\n"
NO_TAKERS = b"503 no valid recipients\r\n"


def one(key: int, recipients: int = 1) -> Transaction:
    """A message."""
    return Transaction(key, f"a{key}@b.example", tuple(f"u{i}@c.example" for i in range(recipients)), len(BODY))


def wire(key: int, recipients: int = 1) -> bytes:
    """What is said of it."""
    rcpt = b"".join(b"RCPT TO:<u%d@c.example>\r\n" % i for i in range(recipients))
    return b"MAIL FROM:<a%d@b.example>\r\n" % key + rcpt + b"BDAT %d LAST\r\n" % len(BODY) + BODY + b"RSET\r\n"


def test_messages_follow_one_another_without_a_wait() -> None:
    """R46: with PIPELINING and CHUNKING of this EHLO reply, and never without; the content is not stuffed."""
    driver = Driver([one(1), one(2, 2), one(3)]).feed(CHUNKING)
    assert driver.sent == b"EHLO mx.provider.example\r\n" + wire(1) + wire(2, 2) + wire(3)
    assert driver.outcomes == []
    driver.feed((OK * 4) + (OK * 5) + (OK * 4)).feed(b"221 bye\r\n")
    assert driver.outcomes == [[(Stage.DOT, 250)], [(Stage.DOT, 250)] * 2, [(Stage.DOT, 250)]]
    assert driver.sent.endswith(b"RSET\r\nQUIT\r\n") and driver.end is not None and driver.end.clean
    assert b"BDAT" not in Driver([one(1)]).feed(PIPELINING).sent
    assert b"BDAT" not in Driver([one(1)]).feed(b"220 c\r\n250-c\r\n250 CHUNKING\r\n").sent
    assert b"BDAT" not in Driver([one(1)], may_pipeline=False).feed(CHUNKING).sent


def test_the_first_refusal_ends_the_wide_form() -> None:
    """From then on content goes only to recipients that were taken, with the next envelope behind it."""
    driver = Driver([one(1), one(2), *(one(i) for i in range(3, 6))])
    driver.sender.window_octets = len(BODY) + 1
    driver.feed(CHUNKING)
    assert driver.sent.endswith(wire(1) + wire(2)) and len(driver.due) == 3
    driver.feed(OK + NO + NO_TAKERS + OK)
    assert driver.outcomes == [[(Stage.RCPT, 550)]]
    assert len(driver.due) == 3  # the second was said in the wide form, and is waited for
    driver.sent = b""
    driver.feed(OK * 4)
    assert driver.sent == b"MAIL FROM:<a3@b.example>\r\nRCPT TO:<u0@c.example>\r\n"
    driver.sent = b""
    driver.feed(OK + OK)
    chunk = b"BDAT %d LAST\r\n" % len(BODY) + BODY + b"RSET\r\n"
    assert driver.sent == chunk + b"MAIL FROM:<a4@b.example>\r\nRCPT TO:<u0@c.example>\r\n"
    driver.sent = b""
    driver.feed(OK + OK + OK + NO)  # the third is delivered, the fourth has no takers
    assert driver.sent == b"RSET\r\nMAIL FROM:<a5@b.example>\r\nRCPT TO:<u0@c.example>\r\n"
    assert driver.outcomes[1:] == [[(Stage.DOT, 250)], [(Stage.DOT, 250)], [(Stage.RCPT, 550)]]


@pytest.mark.parametrize(
    ("replies", "outcomes"),
    [
        ([OK, OK, OK, b"554 bad\r\n", OK], [(Stage.DOT, 554), (Stage.DOT, 554)]),
        ([OK, NO, OK, OK, OK], [(Stage.RCPT, 550), (Stage.DOT, 250)]),
        ([b"451 later\r\n", NO_TAKERS, NO_TAKERS, NO_TAKERS, OK], [(Stage.MAIL, 451), (Stage.MAIL, 451)]),
        ([OK, OK, OK, b"421 bye\r\n"], [(Stage.DOT, 421), (Stage.DOT, 421)]),
        ([OK, OK, b"421 bye\r\n"], [(Stage.NOT_SENT, 0), (Stage.RCPT, 421)]),
        ([OK, OK, OK, b""], [(Stage.AFTER_DOT, 0), (Stage.AFTER_DOT, 0)]),
        ([OK, OK, OK, b"250 no end", b""], [(Stage.AFTER_DOT, 0), (Stage.AFTER_DOT, 0)]),
        ([OK, NO, b""], [(Stage.RCPT, 550), (Stage.AFTER_DOT, 0)]),
        ([b"354 what\r\n"], [(Stage.AFTER_DOT, 0), (Stage.AFTER_DOT, 0)]),
        ([OK, OK, OK, b"354 what\r\n"], [(Stage.DOT, 354), (Stage.DOT, 354)]),
    ],
)
def test_what_becomes_of_a_message(replies: list[bytes], outcomes: list[tuple[Stage, int]]) -> None:
    driver = Driver([one(1, 2)]).feed(CHUNKING, *replies)
    assert driver.outcomes == [outcomes]


def test_a_421_leaves_what_was_not_answered_undone() -> None:
    """RFC 5321 3.8; a line that breaks without a word leaves it uncertain."""
    driver = Driver([one(1), one(2)]).feed(CHUNKING, OK * 4, b"421 enough\r\n")
    assert driver.outcomes == [[(Stage.DOT, 250)], [(Stage.MAIL, 421)]]
    driver = Driver([one(1), one(2), one(3)]).feed(CHUNKING, OK * 4, b"421 enough\r\n")
    assert driver.outcomes[2] == [(Stage.NOT_SENT, 0)]
    driver = Driver([one(1), one(2)]).feed(CHUNKING, OK * 4, b"")
    assert driver.outcomes == [[(Stage.DOT, 250)], [(Stage.AFTER_DOT, 0)]]


def test_a_server_that_does_not_know_bdat_after_all_gets_data() -> None:
    driver = Driver([one(1), one(2)])
    driver.sender.window_octets = 0
    driver.feed(CHUNKING, OK + OK + b"500 what\r\n" + OK)
    assert driver.outcomes == [[(Stage.DOT, 500)]]
    assert driver.sent.endswith(b"RSET\r\nMAIL FROM:<a2@b.example>\r\nRCPT TO:<u0@c.example>\r\nDATA\r\n")


def test_a_refused_rset_ends_the_session() -> None:
    """Without it Exim filed the next message under the sender of the one before."""
    driver = Driver([one(1), one(2)]).feed(CHUNKING, OK * 3 + b"500 RSET?\r\n")
    assert driver.end is not None and not driver.end.clean
    assert driver.outcomes == [[(Stage.DOT, 250)], [(Stage.AFTER_DOT, 0)]]


def test_more_replies_than_commands_deliver_nothing() -> None:
    sender = SmtpSender("mx")
    sender.receive_data(CHUNKING + OK * 3)
    while not isinstance(event := sender.next_event(), SenderEnded):
        if isinstance(event, Ready):
            sender.begin(one(1))
    assert not event.clean


def test_a_reply_before_the_last_octet_is_no_delivery() -> None:
    sender = SmtpSender("mx")
    sender.receive_data(CHUNKING)
    while not isinstance(event := sender.next_event(), ContentWanted):
        if isinstance(event, Ready):
            sender.begin(one(1))
    sender.write_content(BODY[:5])
    sender.data_to_send()
    sender.receive_data(OK * 3)
    sender.write_content(BODY[5:])
    sender.end_content()
    assert b"RSET" not in sender.data_to_send()
    driver = Driver([])
    driver.sender = sender
    assert driver.feed(b"").outcomes == [[(Stage.CONTENT, 0)]]


def test_the_last_octet_that_was_never_given_out_leaves_no_doubt() -> None:
    sender = SmtpSender("mx")
    sender.receive_data(CHUNKING)
    while not isinstance(event := sender.next_event(), ContentWanted):
        if isinstance(event, Ready):
            sender.begin(one(1))
    sender.write_content(BODY)
    sender.end_content()
    assert not sender.awaits_last_word
    sender.abort("the writer failed before")
    driver = Driver([])
    driver.sender = sender
    assert driver.feed(b"").outcomes == [[(Stage.CONTENT, 0)]]


def test_the_window_bounds_what_is_in_flight() -> None:
    driver = Driver([one(i) for i in range(1_000)])
    driver.sender.window_octets = 10 * len(BODY)
    driver.feed(CHUNKING)
    assert driver.sender.in_flight == 10
    driver.sender.window_octets = MOST
    driver.feed(OK)
    assert driver.sender.in_flight == MAX_IN_FLIGHT
    assert Driver([one(1), one(2)]).feed(CHUNKING).sender.in_flight == 2


#: What a server says to three messages, each part after it has heard what it answers.
PARTS = [
    CHUNKING,
    OK + OK,
    OK + OK + OK + NO,
    NO_TAKERS + OK + OK + OK + b"250-2.0.0 got\r\n250 it\r\n" + OK,
    b"221 bye\r\n",
]


@given(st.data())
def test_any_cut_gives_the_same_outcomes(data: st.DataObject) -> None:
    whole, cut = Driver([one(1), one(2), one(3)]).feed(*PARTS), Driver([one(1), one(2), one(3)])
    for part in PARTS:
        cut.feed(*data.draw(cuts(part)))
    assert cut.outcomes == whole.outcomes == [[(Stage.DOT, 250)], [(Stage.RCPT, 550)], [(Stage.DOT, 250)]]
    assert cut.sent == whole.sent


@given(
    st.lists(st.sampled_from([OK, OK, OK, NO, b"421 bye\r\n", b"354 go\r\n", b"250-", b"x", NO_TAKERS]), max_size=40)
)
def test_no_server_makes_it_fail_or_deliver_out_of_turn(replies: list[bytes]) -> None:
    """The n-th message is delivered only by the reply to its own last octet; each has one outcome."""
    driver = Driver([one(i) for i in range(4)]).feed(CHUNKING, *replies)
    if not driver.sender.is_over:
        driver.feed(b"")
    assert isinstance(driver.sender.next_event(), Waiting) and driver.sender.is_over
    begun = driver.sent.count(b"MAIL FROM")
    assert len(driver.outcomes) == begun
    delivered = sum(outcome == [(Stage.DOT, 250)] for outcome in driver.outcomes)
    assert delivered <= sum(reply == OK for reply in replies) // 3


def test_the_window_grows_to_twice_what_the_line_holds() -> None:
    """A line of 1 MB/s and 0.1 s holds 100 kB; the window doubles each round trip up to twice that."""
    window, now, free_at, key = Window(), 0.0, 0.0, 0
    assert window.octets == START
    pending: list[tuple[float, int]] = []
    sizes = []
    for _ in range(3_000):
        while sum(4_096 for _ in pending) < window.octets:
            key += 1
            window.sent(key, 4_096, now)
            free_at = max(free_at, now) + 4_096 / 1_000_000
            pending.append((free_at + 0.1, key))
        now, done = pending.pop(0)
        window.answered(done, now)
        sizes.append(window.octets)
    assert 180_000 < sizes[-1] < 230_000
    window.answered(999_999, now)
    assert sizes[-1] == window.octets


def test_a_fast_line_does_not_open_the_window_without_end() -> None:
    window = Window()
    for i in range(100):
        window.sent(i, 64 * 1024 * 1024, 0.0)
        window.answered(i, 0.0)
    assert window.octets == MOST
