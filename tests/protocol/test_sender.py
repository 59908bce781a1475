"""The sender: what each reply, break and disorder makes of a message; any cut of the server's bytes."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.events import ContentWanted, Finished, Ready, SenderEnded, SenderEvent, Stage, Waiting
from shared.protocol.flight import Transaction
from shared.protocol.sender import SenderError, SmtpSender
from tests.protocol.cutting import cuts

BODY = b"Subject: x\r\n\r\n.body\r\n"
HELLO = b"220 c\r\n250-c\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 X\r\n"
PIPELINING = b"220 c\r\n250-c\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
OK = b"250 ok\r\n"
GO = b"354 go\r\n"
ONE = Transaction(1, "a@b.example", ("u@c.example",), len(BODY))
TWO = Transaction(2, "", ("u@c.example", "v@c.example"), len(BODY))


class Driver:
    """Feeds a sender, begins what is due, and keeps what it says and tells."""

    def __init__(self, transactions: Iterable[Transaction], *, may_pipeline: bool = True) -> None:
        self.sender = SmtpSender("mx.provider.example", may_pipeline=may_pipeline)
        self.due = list(transactions)
        self.events: list[SenderEvent] = []
        self.sent = b""

    def feed(self, *pieces: bytes) -> "Driver":
        """Takes bytes from the server, piece by piece, and does what follows each."""
        for data in pieces:
            self._feed(data)
        return self

    def _feed(self, data: bytes) -> None:
        self.sender.receive_data(data)
        while not isinstance(event := self.sender.next_event(), Waiting):
            self.events.append(event)
            if isinstance(event, Ready):
                if self.due:
                    self.sender.begin(self.due.pop(0))
                elif not self.sender.in_flight:
                    self.sender.quit()
            elif isinstance(event, ContentWanted):
                self.sender.write_content(BODY)
                self.sender.end_content()
            self.sent += self.sender.data_to_send()
        self.sent += self.sender.data_to_send()

    @property
    def outcomes(self) -> list[list[tuple[Stage, int]]]:
        """Of each finished transaction the stage and the code of each recipient."""
        return [
            [(outcome.stage, outcome.reply.code if outcome.reply else 0) for outcome in event.outcomes]
            for event in self.events
            if isinstance(event, Finished)
        ]

    @property
    def end(self) -> SenderEnded | None:
        """How the session ended."""
        ends = [event for event in self.events if isinstance(event, SenderEnded)]
        assert len(ends) <= 1
        return ends[0] if ends else None


def test_r40_nothing_is_said_before_the_greeting() -> None:
    assert Driver([ONE]).sent == b""
    assert Driver([ONE]).feed(b"220 c\r\n").sent == b"EHLO mx.provider.example\r\n"


def test_one_message_and_quit() -> None:
    driver = Driver([ONE]).feed(HELLO, OK, OK, GO, OK, b"221 bye\r\n")
    assert driver.sent == (
        b"EHLO mx.provider.example\r\nMAIL FROM:<a@b.example> SIZE=21\r\nRCPT TO:<u@c.example>\r\nDATA\r\n"
        b"Subject: x\r\n\r\n..body\r\n.\r\nQUIT\r\n"
    )
    assert driver.outcomes == [[(Stage.DOT, 250)]]
    assert driver.end is not None and driver.end.clean


def test_with_pipelining_the_envelope_is_one_group() -> None:
    driver = Driver([TWO]).feed(PIPELINING)
    assert driver.sent.endswith(b"MAIL FROM:<>\r\nRCPT TO:<u@c.example>\r\nRCPT TO:<v@c.example>\r\nDATA\r\n")
    assert Driver([TWO], may_pipeline=False).feed(PIPELINING).sent.endswith(b"MAIL FROM:<>\r\n")


@pytest.mark.parametrize("hello", [HELLO, PIPELINING], ids=["lockstep", "pipelining"])
@pytest.mark.parametrize(
    ("replies", "outcomes"),
    [
        ([OK, OK, OK, GO, OK], [(Stage.DOT, 250), (Stage.DOT, 250)]),
        ([OK, b"550 no\r\n", OK, GO, OK], [(Stage.RCPT, 550), (Stage.DOT, 250)]),
        ([OK, OK, b"452 full\r\n", GO, OK], [(Stage.DOT, 250), (Stage.RCPT, 452)]),
        ([OK, OK, OK, GO, b"554 bad\r\n"], [(Stage.DOT, 554), (Stage.DOT, 554)]),
        ([OK, OK, OK, GO, b"354 what\r\n"], [(Stage.DOT, 354), (Stage.DOT, 354)]),
        ([OK, OK, OK, b"451 later\r\n"], [(Stage.DATA, 451), (Stage.DATA, 451)]),
        ([OK, OK, OK, GO, b"421 bye\r\n"], [(Stage.DOT, 421), (Stage.DOT, 421)]),
        ([OK, OK, OK, b"421 bye\r\n"], [(Stage.DATA, 421), (Stage.DATA, 421)]),
        ([OK, OK, OK, GO, b""], [(Stage.AFTER_DOT, 0), (Stage.AFTER_DOT, 0)]),
        ([OK, OK, OK, GO, b"250-half\r\n", b""], [(Stage.AFTER_DOT, 0), (Stage.AFTER_DOT, 0)]),
        ([OK, OK, OK, GO, b"250 no end", b""], [(Stage.AFTER_DOT, 0), (Stage.AFTER_DOT, 0)]),
        ([OK, OK, OK, GO, b"nonsense\r\n"], [(Stage.AFTER_DOT, 0), (Stage.AFTER_DOT, 0)]),
        ([OK, OK, OK, b""], [(Stage.NOT_SENT, 0), (Stage.NOT_SENT, 0)]),
        ([OK, b"550 no\r\n", b""], [(Stage.RCPT, 550), (Stage.NOT_SENT, 0)]),
        ([b""], [(Stage.NOT_SENT, 0), (Stage.NOT_SENT, 0)]),
        ([OK, OK, OK, b"250 out of step\r\n"], [(Stage.NOT_SENT, 0), (Stage.NOT_SENT, 0)]),
    ],
)
def test_what_becomes_of_a_message(hello: bytes, replies: list[bytes], outcomes: list[tuple[Stage, int]]) -> None:
    driver = Driver([TWO]).feed(hello)
    for reply in replies:
        driver.feed(reply)
    assert driver.outcomes == [outcomes]


def test_all_refused_lockstep_resets_before_the_next() -> None:
    driver = Driver([ONE, ONE]).feed(HELLO, OK, b"550 no\r\n")
    assert driver.outcomes == [[(Stage.RCPT, 550)]]
    assert driver.sent.endswith(b"RCPT TO:<u@c.example>\r\nRSET\r\n")
    assert driver.feed(OK).sent.endswith(b"RSET\r\nMAIL FROM:<a@b.example> SIZE=21\r\n")


def test_r54_all_refused_and_data_taken_gets_a_lone_dot() -> None:
    driver = Driver([TWO]).feed(PIPELINING, OK + b"550 no\r\n" + b"550 no\r\n" + GO)
    assert driver.sent.endswith(b"DATA\r\n.\r\n")
    assert driver.feed(b"554 no valid recipients\r\n").outcomes == [[(Stage.RCPT, 550), (Stage.RCPT, 550)]]


def test_mail_refused_in_a_group_is_one_refusal() -> None:
    driver = Driver([TWO]).feed(PIPELINING, b"451 not now\r\n" + b"503 what\r\n" * 3)
    assert driver.outcomes == [[(Stage.MAIL, 451), (Stage.MAIL, 451)]]
    assert driver.sent.endswith(b"DATA\r\nRSET\r\nQUIT\r\n")


def test_a_reply_that_nothing_asked_for_ends_the_session() -> None:
    driver = Driver([ONE]).feed(HELLO, OK, OK, GO, OK, b"221 bye\r\n250 more\r\n")
    assert driver.end is not None
    driver = Driver([]).feed(HELLO)
    driver.feed(b"221 bye\r\n")
    assert driver.end is not None and driver.end.clean


def test_a_reply_before_the_dot_is_no_delivery() -> None:
    sender = SmtpSender("mx")
    sender.receive_data(HELLO)
    while not isinstance(sender.next_event(), Ready):
        pass
    sender.begin(ONE)
    sender.receive_data(OK + OK + GO + b"250 that was quick\r\n")
    while not isinstance(sender.next_event(), ContentWanted):
        pass
    sender.data_to_send()
    sender.write_content(BODY)
    sender.end_content()
    assert b"\r\n.\r\n" not in sender.data_to_send()
    finished = sender.next_event()
    assert isinstance(finished, Finished) and finished.outcomes[0].stage is Stage.CONTENT


def test_a_break_in_the_content_is_no_uncertainty() -> None:
    sender = SmtpSender("mx")
    sender.receive_data(HELLO)
    while not isinstance(sender.next_event(), Ready):
        pass
    sender.begin(ONE)
    sender.receive_data(OK + OK + GO)
    while not isinstance(sender.next_event(), ContentWanted):
        pass
    sender.write_content(BODY)
    sender.abort("the database is gone")
    finished = sender.next_event()
    assert isinstance(finished, Finished) and finished.outcomes[0].stage is Stage.CONTENT
    assert not sender.data_to_send().endswith(b".\r\n")


def test_what_the_server_cannot_take_is_not_said() -> None:
    eight = Transaction(3, "a@b.example", ("u@c.example",), 10, has_eight_bit=True)
    big = Transaction(4, "a@b.example", ("u@c.example",), 1_001)
    driver = Driver([eight]).feed(b"220 c\r\n250 c\r\n")
    assert driver.outcomes == [[(Stage.NEEDS_8BITMIME, 0)]] and b"MAIL" not in driver.sent
    driver = Driver([big]).feed(HELLO)
    assert driver.outcomes == [[(Stage.OVER_SIZE, 0)]] and b"MAIL" not in driver.sent
    anyway = replace(eight, sends_eight_bit=True)
    assert b"MAIL FROM:<a@b.example>\r\n" in Driver([anyway]).feed(b"220 c\r\n250 c\r\n").sent
    driver = Driver([eight]).feed(HELLO)
    assert b"MAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME\r\n" in driver.sent


@pytest.mark.parametrize("greeting", [b"554 no\r\n", b"421 later\r\n", b"250 odd\r\n", b"hello\r\n", b"", b"x" * 5_000])
def test_r41_no_greeting_no_mail(greeting: bytes) -> None:
    driver = Driver([ONE]).feed(greeting)
    if driver.end is None:
        driver.feed(b"\r\n")
    assert driver.end is not None and driver.sent == b"" and driver.outcomes == []


def test_begin_twice_is_our_mistake() -> None:
    sender = SmtpSender("mx")
    with pytest.raises(SenderError):
        sender.begin(ONE)


#: What a server says, each part after it has heard what the part answers; within a part any cut can come.
PARTS = [
    PIPELINING,
    OK + b"550 5.1.1 no\r\n" + OK + GO,
    b"250-2.0.0 got\r\n250 it\r\n",
    OK + OK + GO,
    OK,
    b"221 bye\r\n",
]


@given(st.data())
def test_any_cut_gives_the_same_events(data: st.DataObject) -> None:
    whole, cut = Driver([TWO, ONE]).feed(*PARTS), Driver([TWO, ONE])
    for part in PARTS:
        cut.feed(*data.draw(cuts(part)))
    assert cut.outcomes == whole.outcomes == [[(Stage.RCPT, 550), (Stage.DOT, 250)], [(Stage.DOT, 250)]]
    assert cut.sent == whole.sent
    assert cut.events == whole.events


@pytest.mark.parametrize("place", range(1, len(b"".join(PARTS))))
def test_a_cut_anywhere_never_delivers_what_had_no_reply(place: int) -> None:
    """A delivery needs the last line of a 2xx to the dot, whole."""
    driver, left = Driver([TWO, ONE]), place
    for part in PARTS:
        driver.feed(*[part[:left]] if left > 0 else [])
        left -= len(part)
    driver.feed(b"")
    delivered = sum(stage is Stage.DOT and code == 250 for outcomes in driver.outcomes for stage, code in outcomes)
    first, second = len(b"".join(PARTS[:3])), len(b"".join(PARTS[:5]))
    assert delivered == (place >= first) + (place >= second)


@given(
    st.lists(
        st.sampled_from([OK, GO, b"550 no\r\n", b"421 bye\r\n", b"250-", b"\r\n", b"x", b"503 a\r\n"]), max_size=30
    )
)
def test_no_server_makes_it_fail(replies: list[bytes]) -> None:
    driver = Driver([ONE, TWO, ONE])
    for reply in replies:
        driver.feed(reply)
    if not driver.sender.is_over:
        driver.feed(b"")
    assert driver.sender.is_over
