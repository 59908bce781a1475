"""The SMTP client that takes the line after the turn. RFC 5321, 1870, 2920, 3030, 3461, 6152, 6531.

It takes many transactions and tells the outcome of each forward-path. How many are in flight is a matter of Form: with
PIPELINING and CHUNKING messages follow one another without a wait, inside a window; the first refusal ends that, and from
then on content is sent only for recipients that were taken. A RSET stands between any two chunked transactions: Exim filed a
message under the sender of one that it had refused. Only a whole 2xx reply to the last octet is a delivery; a break after it
is AFTER_DOT, never a delivery. Security: the server is the customer's and may be hostile: more replies than commands, a reply
before the last octet, or lines without end close the session and deliver nothing.
"""

from dataclasses import dataclass
from typing import Final

from shared.protocol.dotstuff import ContentWriter, check_line_ends
from shared.protocol.events import (
    NEED_DATA,
    PAUSED,
    ContentWanted,
    Finished,
    Outcome,
    Ready,
    SenderEnded,
    SenderEvent,
    Stage,
)
from shared.protocol.flight import MAX_RECIPIENTS, Flight, Form, Progress, Step, Transaction
from shared.protocol.reply import BadReply, Reply, ReplyReader
from shared.protocol.window import START
from shared.protocol.wire import MAX_REPLY_LINE, LineBuffer, LineTooLong

#: Messages in flight, whatever the window in octets says: what a crash may send twice. PERFORMANCE has 128 as ample.
MAX_IN_FLIGHT: Final = 128


class SenderError(Exception):
    """The driver asked for what the state does not allow: our bug."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """A command that waits for its reply, and of which transaction and recipient."""

    step: Step
    flight: Flight | None = None
    recipient: int = 0


class SmtpSender:
    """Bytes in, events out, commands in `data_to_send`. Begins with the server's greeting."""

    def __init__(self, hostname: str, *, may_pipeline: bool = True, is_greeted: bool = False) -> None:
        self._hostname = hostname
        self._may_pipeline = may_pipeline
        self._may_chunk = True
        self._lines = LineBuffer(MAX_REPLY_LINE)
        self._replies = ReplyReader()
        # Lists, of which an empty one is a tenth of a deque: what waits in them is no more than a window of messages.
        self._waiting = [_Expected(Step.GREETING)]
        self._keywords: dict[str, str] = {}
        self._has_greeted = False
        self._out = bytearray()
        self._events: list[SenderEvent] = []
        self._flights: list[Flight] = []
        self._octets_in_flight = 0
        #: The flight whose content is wanted or being written.
        self._current: Flight | None = None
        self._writer: ContentWriter | None = None
        self._was_refused = False
        self._told_ready = False
        self._is_leaving = False
        self._eof = False
        self._over = False
        #: Replies taken: the driver's time limit runs from the last of them, not from the last octet.
        self.replies = 0
        #: Octets of content that may be in flight (shared.protocol.window); one message always may.
        self.window_octets = START
        if is_greeted:  # by who opened the line (shared.protocol.opening)
            self._waiting.clear()
            self._command(f"EHLO {hostname}", _Expected(Step.EHLO))

    @property
    def waits_for(self) -> Step | None:
        """The oldest command without a reply, or None."""
        return self._waiting[0].step if self._waiting else None

    @property
    def form(self) -> Form:
        """How the next transaction would be sent."""
        if not self._may_pipeline or "PIPELINING" not in self._keywords:
            return Form.ONE_BY_ONE
        if not self._may_chunk or "CHUNKING" not in self._keywords:
            return Form.GROUPED
        return Form.CHUNKED if self._was_refused else Form.WIDE

    @property
    def passes_dsn(self) -> bool:
        """The server takes DSN parameters: from there on its word to the sender is its own (RFC 3461 5.2.1)."""
        return "DSN" in self._keywords

    @property
    def is_over(self) -> bool:
        """The session has ended."""
        return self._over

    @property
    def in_flight(self) -> int:
        """Transactions that were begun and are not Finished."""
        return len(self._flights)

    @property
    def unsent(self) -> int:
        """Octets that `data_to_send` would give."""
        return len(self._out)

    @property
    def ends_a_message(self) -> bool:
        """What `data_to_send` would give has the last octet of a message."""
        return any(flight.progress is Progress.ENDED for flight in self._flights)

    @property
    def awaits_last_word(self) -> bool:
        """The last octet of some message has gone out, and its reply has not come: a break now may repeat it."""
        return any(flight.progress is Progress.GONE for flight in self._flights)

    def receive_data(self, data: bytes) -> None:
        """Takes bytes as they came; b"" means that the peer closed."""
        if data:
            self._lines.feed(data)
        else:
            self._eof = True

    def data_to_send(self) -> bytes:
        """The octets to write now; they leave the machine."""
        data = bytes(self._out)
        self._out.clear()
        for flight in self._flights:
            if flight.progress is Progress.ENDED:
                flight.progress = Progress.GONE
        return data

    def next_event(self) -> SenderEvent:
        """The next thing to do."""
        while not self._events:
            if self._over:
                return PAUSED
            if self._take_line():
                continue
            if self._eof:
                step = f" waiting for the reply to {self._waiting[0].step.value}" if self._waiting else ""
                self._end(clean=False, why=f"the peer closed the connection{step}")
            elif not self._told_ready and self._may_begin():
                self._told_ready = True
                return Ready()
            else:
                return NEED_DATA
        return self._events.pop(0)

    # --- what the driver asks -----------------------------------------------------------------------------------------

    def begin(self, transaction: Transaction) -> None:
        """Starts a transaction after Ready. What the server cannot take is Finished at once, with nothing said."""
        if not self._may_begin():
            raise SenderError("not ready")
        if not 0 < len(transaction.forward_paths) <= MAX_RECIPIENTS:
            raise SenderError(f"{len(transaction.forward_paths)} recipients")
        self._told_ready = False
        flight = Flight(transaction, self.form)
        refusal = transaction.refusal(self._keywords)
        if refusal is not None:
            flight.decide(Outcome(refusal))
            self._events.append(Finished(transaction.key, _outcomes(flight)))
            return
        self._flights.append(flight)
        self._octets_in_flight += transaction.size
        self._command(transaction.mail_command(self._keywords), _Expected(Step.MAIL, flight))
        if flight.form is Form.ONE_BY_ONE:
            return
        for i in range(len(transaction.forward_paths)):
            self._rcpt(flight, i)
        if flight.form is Form.GROUPED:
            self._command("DATA", _Expected(Step.DATA, flight))
        elif flight.form is Form.WIDE:
            self._want_content(flight)

    def write_content(self, chunk: bytes) -> None:
        """A piece of the content, after ContentWanted. Raises BareLineEnd, after which the driver must abort."""
        if self._current is None:
            raise SenderError("no content is wanted")
        if self._writer is not None:
            self._out += self._writer.write(chunk)
        else:
            check_line_ends(chunk)
            self._out += chunk

    def end_content(self) -> None:
        """The content is whole. A reply that is already here came before the last octet: that server counts for nothing."""
        flight = self._current
        if flight is None:
            raise SenderError("no content is wanted")
        while not self._over and self._take_line():
            pass
        if self._over or (self._lines and not self._waiting):
            self.abort("a reply before the end of data")
            return
        self._current = None
        self._told_ready = False
        flight.progress = Progress.ENDED
        self._waiting.append(_Expected(Step.DOT, flight))
        if self._writer is not None:
            self._out += self._writer.finish()
            self._writer = None
        else:
            self._command("RSET", _Expected(Step.RSET))

    def abort(self, why: str) -> None:
        """The driver cannot go on (no content, no time, a write that failed): the session ends without a last octet."""
        if not self._over:
            self._end(clean=False, why=why)

    def ask_again(self) -> None:
        """The driver could not begin anything at the last Ready, and now can."""
        self._told_ready = False

    def quit(self) -> None:
        """Says QUIT, after Ready with nothing in flight. RFC 5321 4.1.1.10: wait for the reply, then close."""
        if not self._over:
            self._is_leaving = True
            self._command("QUIT", _Expected(Step.QUIT))

    def noop(self) -> None:
        """Says NOOP, after Ready: the line is alive if a reply comes."""
        if not self._over:
            self._told_ready = False
            self._command("NOOP", _Expected(Step.NOOP))

    # --- what may go out ----------------------------------------------------------------------------------------------

    def _may_begin(self) -> bool:
        if self._over or not self._has_greeted or self._is_leaving or self._current is not None:
            return False
        form = self.form
        if form is Form.ONE_BY_ONE:
            return not self._flights and not self._waiting
        if not self._flights:
            return True
        if not self._flights[-1].is_ended:
            return False
        if form is not Form.WIDE:
            return len(self._flights) == 1 and self._flights[0].form is form
        return self._octets_in_flight < self.window_octets and len(self._flights) < MAX_IN_FLIGHT

    def _rcpt(self, flight: Flight, recipient: int) -> None:
        self._command(
            flight.transaction.rcpt_command(recipient, self._keywords), _Expected(Step.RCPT, flight, recipient)
        )

    def _want_content(self, flight: Flight) -> None:
        flight.progress = Progress.CONTENT
        self._current = flight
        if flight.form in (Form.CHUNKED, Form.WIDE):
            self._out += f"BDAT {flight.transaction.size} LAST\r\n".encode("ascii")
        else:
            self._writer = ContentWriter()
        self._events.append(ContentWanted(flight.transaction.key))

    # --- what the server says -----------------------------------------------------------------------------------------

    def _take_line(self) -> bool:
        """Reads one line of the server's, if a whole one is there."""
        try:
            line = self._lines.next_line()
            reply = None if line is None else self._replies.add(line)
        except (LineTooLong, BadReply) as error:
            self._end(clean=False, why=f"no reply: {type(error).__name__} {error}")
            return True
        if reply is not None:
            self._take(reply)
        return line is not None

    def _take(self, reply: Reply) -> None:
        self.replies += 1
        self._told_ready = False
        if not self._waiting:
            self._end(clean=reply.code == 421, by_421=reply.code == 421, why=f"a reply that nothing asked for: {reply}")
            return
        expected = self._waiting.pop(0)
        if reply.code == 421:  # RFC 5321 3.8: the server leaves; what it did not answer it has not done
            if expected.flight is not None:
                expected.flight.heard(expected.step, expected.recipient, reply)
            self._end(clean=True, by_421=True, why=str(reply))
        elif expected.flight is not None:
            self._take_for(expected.flight, expected, reply)
        else:
            self._take_for_session(expected.step, reply)

    def _take_for_session(self, step: Step, reply: Reply) -> None:
        if step is Step.QUIT:
            self._end(clean=True, why="QUIT")
        elif step is Step.GREETING and reply.code == 220:
            self._command(f"EHLO {self._hostname}", _Expected(Step.EHLO))
        elif step in (Step.EHLO, Step.HELO) and reply.is_positive:
            self._has_greeted = True
            self._keywords = {
                word: rest.strip() for line in reply.lines[1:] for word, _, rest in (line.upper().partition(" "),)
            }
        elif step is Step.EHLO and reply.is_permanent:  # RFC 5321 3.2
            self._command(f"HELO {self._hostname}", _Expected(Step.HELO))
        elif step is not Step.NOOP and not (step is Step.RSET and reply.is_positive):
            self._end(clean=False, why=f"{step.value}: {reply}")

    def _take_for(self, flight: Flight, expected: _Expected, reply: Reply) -> None:
        step = expected.step
        if step is Step.DATA:
            self._data_answered(flight, reply)
            return
        if step is Step.DOT:
            self._last_word(flight, reply)
            return
        if 300 <= reply.code < 400:
            self._end(clean=False, why=f"{step.value}: {reply}")
            return
        flight.heard(step, expected.recipient, reply)
        self._was_refused = self._was_refused or not reply.is_positive
        is_last = step is Step.RCPT and expected.recipient == len(flight.outcomes) - 1
        if flight.form is Form.ONE_BY_ONE:
            self._one_by_one(flight, step, expected.recipient)
        elif flight.form is Form.CHUNKED and is_last:
            if flight.has_takers:
                self._want_content(flight)
            else:
                self._reset_after_refusal(flight)

    def _one_by_one(self, flight: Flight, step: Step, recipient: int) -> None:
        """What follows the reply to MAIL or to one RCPT."""
        following = 0 if step is Step.MAIL else recipient + 1
        if not flight.has_takers:
            self._reset_after_refusal(flight)
        elif following < len(flight.outcomes):
            self._rcpt(flight, following)
        else:
            self._command("DATA", _Expected(Step.DATA, flight))

    def _data_answered(self, flight: Flight, reply: Reply) -> None:
        if reply.code == 354 and flight.has_takers:
            self._want_content(flight)
        elif reply.code == 354:  # RFC 2920 3.1: every recipient was refused and DATA still taken
            self._out += b".\r\n"
            flight.progress = Progress.ENDED
            self._waiting.append(_Expected(Step.DOT, flight))
        elif reply.is_positive:
            self._end(clean=False, why=f"DATA: {reply}")
        else:
            flight.heard(Step.DATA, 0, reply)
            self._reset_after_refusal(flight)

    def _last_word(self, flight: Flight, reply: Reply) -> None:
        """The reply to the last octet: an outcome for all who were not refused before."""
        if flight.form in (Form.CHUNKED, Form.WIDE) and flight.has_takers and reply.code in (500, 502, 503):
            self._may_chunk = False  # it offers CHUNKING and does not know BDAT: the next goes by DATA
        self._was_refused = self._was_refused or not reply.is_positive
        flight.decide(Outcome(Stage.DOT, reply))
        self._finish(flight)
        if 300 <= reply.code < 400:
            self._end(clean=False, why=f"end of data: {reply}")

    def _reset_after_refusal(self, flight: Flight) -> None:
        self._finish(flight)
        self._command("RSET", _Expected(Step.RSET))

    def _finish(self, flight: Flight) -> None:
        self._flights.remove(flight)
        self._octets_in_flight -= flight.transaction.size
        self._events.append(Finished(flight.transaction.key, _outcomes(flight)))

    def _end(self, *, clean: bool, why: str, by_421: bool = False) -> None:
        """No more is said. What was in flight gets the outcome of where it stood."""
        self._over = True
        self._current = None
        self._writer = None
        for flight in list(self._flights):
            flight.broken(by_421=by_421)
            self._finish(flight)
        self._waiting.clear()
        self._events.append(SenderEnded(clean, why))

    def _command(self, line: str, expected: _Expected) -> None:
        self._waiting.append(expected)
        self._out += line.encode() + b"\r\n"  # beyond ASCII only where SMTPUTF8 is offered


def _outcomes(flight: Flight) -> tuple[Outcome, ...]:
    return tuple(outcome for outcome in flight.outcomes if outcome is not None)
