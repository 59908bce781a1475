"""The SMTP client that takes the line after the turn. RFC 5321, 1870, 2920, 6152.

It takes many transactions and tells the outcome of each forward-path. Only a whole 2xx reply to the final dot is a
delivery; a break after the dot is AFTER_DOT, never a delivery. Security: the server is the customer's and may be
hostile: more replies than commands, a reply before the dot, or lines without end close the session and deliver nothing.
Bugs: one transaction is in flight at a time, BDAT is not used yet.
"""

import enum
from collections import deque
from dataclasses import dataclass
from typing import Final, assert_never

from shared.protocol.dotstuff import ContentWriter
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
from shared.protocol.reply import BadReply, Reply, ReplyReader
from shared.protocol.wire import MAX_REPLY_LINE, LineBuffer, LineTooLong

#: Recipients in one transaction. RFC 5321 4.5.3.1.8: a server takes at least 100.
MAX_RECIPIENTS: Final = 100


class Step(enum.Enum):
    """A command that waits for its reply. The driver picks its time limit by it (RFC 5321 4.5.3.2)."""

    GREETING = "greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    DOT = "end of data"
    RSET = "RSET"
    QUIT = "QUIT"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One message for one or more forward-paths. `size` in octets, `key` is the driver's own name for it."""

    key: int
    reverse_path: str
    forward_paths: tuple[str, ...]
    size: int
    has_eight_bit: bool = False
    #: Send 8-bit content also to a server that does not say that it takes it (it most likely does).
    sends_eight_bit: bool = False


class SenderError(Exception):
    """The driver asked for what the state does not allow: our bug."""


class SmtpSender:
    """Bytes in, events out, commands in `data_to_send`. Begins with the server's greeting."""

    def __init__(self, hostname: str, *, may_pipeline: bool = True) -> None:
        self._hostname = hostname
        self._may_pipeline = may_pipeline
        self._lines = LineBuffer(MAX_REPLY_LINE)
        self._replies = ReplyReader()
        self._waiting: deque[Step] = deque((Step.GREETING,))
        self._keywords: dict[str, str] = {}
        self._out = bytearray()
        self._events: deque[SenderEvent] = deque()
        self._transaction: Transaction | None = None
        self._outcomes: list[Outcome | None] = []
        self._next_recipient = 0
        self._writer: ContentWriter | None = None
        self._is_ready = False
        #: Replies taken: the driver's time limit runs from the last of them, not from the last octet.
        self.replies = 0
        self._eof = False
        self._over = False

    @property
    def waits_for(self) -> Step | None:
        """The oldest command without a reply, or None."""
        return self._waiting[0] if self._waiting else None

    @property
    def pipelines(self) -> bool:
        """Whether commands go out in groups: the server offers it and we may. RFC 2920."""
        return self._may_pipeline and "PIPELINING" in self._keywords

    @property
    def is_over(self) -> bool:
        """The session has ended."""
        return self._over

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
        return data

    def next_event(self) -> SenderEvent:
        """The next thing to do."""
        while not self._events:
            if self._over:
                return PAUSED
            try:
                line = self._lines.next_line()
                reply = None if line is None else self._replies.add(line)
            except (LineTooLong, BadReply) as error:
                self._end(clean=False, why=f"no reply: {type(error).__name__} {error}")
                continue
            if reply is not None:
                self._take(reply)
            elif line is None:
                if not self._eof:
                    if self._is_ready:
                        self._is_ready = False
                        return Ready()
                    return NEED_DATA
                step = f" waiting for the reply to {self._waiting[0].value}" if self._waiting else ""
                self._end(clean=False, why=f"the peer closed the connection{step}")
        return self._events.popleft()

    # --- what the driver asks -----------------------------------------------------------------------------------------

    def begin(self, transaction: Transaction) -> None:
        """Starts a transaction after Ready. What the server cannot take is Finished at once, with nothing said."""
        if self._over or self._transaction or self._waiting:
            raise SenderError("not ready")
        if not 0 < len(transaction.forward_paths) <= MAX_RECIPIENTS:
            raise SenderError(f"{len(transaction.forward_paths)} recipients")
        self._transaction = transaction
        self._outcomes = [None] * len(transaction.forward_paths)
        self._next_recipient = 0
        limit = self._keywords.get("SIZE", "")
        declares = transaction.has_eight_bit and "8BITMIME" in self._keywords
        if transaction.has_eight_bit and not declares and not transaction.sends_eight_bit:
            self._finish_all(Outcome(Stage.NEEDS_8BITMIME))
            return
        if limit.isdigit() and 0 < int(limit) < transaction.size:
            self._finish_all(Outcome(Stage.OVER_SIZE))
            return
        self._command(
            Step.MAIL, f"MAIL FROM:<{transaction.reverse_path}>{self._size(transaction)}{' BODY=8BITMIME' * declares}"
        )
        if self.pipelines:
            for forward_path in transaction.forward_paths:
                self._command(Step.RCPT, f"RCPT TO:<{forward_path}>")
            self._command(Step.DATA, "DATA")

    def write_content(self, chunk: bytes) -> None:
        """A piece of the content, after ContentWanted. Raises BareLineEnd, after which the driver must abort."""
        if self._writer is None:
            raise SenderError("no content is wanted")
        self._out += self._writer.write(chunk)

    def end_content(self) -> None:
        """The content is whole. A reply that is already here came before the dot: that server counts for nothing."""
        if self._writer is None:
            raise SenderError("no content is wanted")
        if self._lines:
            self._end(clean=False, why="a reply before the end of data")
            return
        self._out += self._writer.finish()
        self._writer = None
        self._waiting.append(Step.DOT)

    def abort(self, why: str) -> None:
        """The driver cannot go on (no content, no time, a write that failed): the session ends without a dot."""
        if not self._over:
            self._end(clean=False, why=why)

    def quit(self) -> None:
        """Says QUIT, after Ready. RFC 5321 4.1.1.10: wait for the reply, then close."""
        if not self._over:
            self._command(Step.QUIT, "QUIT")

    def noop(self) -> None:
        """Says NOOP, after Ready: the line is alive if a reply comes."""
        if not self._over:
            self._command(Step.RSET, "NOOP")

    # --- what the server says -----------------------------------------------------------------------------------------

    def _take(self, reply: Reply) -> None:
        self.replies += 1
        if not self._waiting:
            self._end(clean=reply.code == 421, why=f"a reply that nothing asked for: {reply}")
            return
        step = self._waiting.popleft()
        if reply.code == 421:  # RFC 5321 3.8: the server leaves; what it did not answer it has not done
            self._fail(step, reply)
            self._end(clean=True, why=str(reply))
            return
        match step:
            case Step.GREETING:
                self._greeted(reply)
            case Step.EHLO | Step.HELO:
                self._helloed(step, reply)
            case Step.MAIL | Step.RCPT | Step.DATA:
                self._envelope(step, reply)
            case Step.DOT:
                self._decide(Outcome(Stage.DOT, reply))
            case Step.RSET:
                self._is_ready = True
            case Step.QUIT:
                self._end(clean=True, why="QUIT")
            case _:
                assert_never(step)

    def _greeted(self, reply: Reply) -> None:
        if reply.code != 220:
            self._end(clean=False, why=f"greeting: {reply}")
        else:
            self._command(Step.EHLO, f"EHLO {self._hostname}")

    def _helloed(self, step: Step, reply: Reply) -> None:
        if reply.is_positive:
            if step is Step.EHLO:
                self._keywords = {
                    word: rest.strip() for line in reply.lines[1:] for word, _, rest in (line.upper().partition(" "),)
                }
            self._is_ready = True
        elif step is Step.EHLO and reply.is_permanent:  # RFC 5321 3.2
            self._command(Step.HELO, f"HELO {self._hostname}")
        else:
            self._end(clean=False, why=f"{step.value}: {reply}")

    def _envelope(self, step: Step, reply: Reply) -> None:
        if step is Step.DATA:
            self._data_answered(reply)
            return
        self._fail(step, reply)
        if step is Step.RCPT:
            self._next_recipient += 1
        if self._waiting:
            return
        assert self._transaction is not None
        if None not in self._outcomes:
            self._reset_after_refusal()
        elif self._next_recipient < len(self._outcomes):
            self._command(Step.RCPT, f"RCPT TO:<{self._transaction.forward_paths[self._next_recipient]}>")
        else:
            self._command(Step.DATA, "DATA")

    def _data_answered(self, reply: Reply) -> None:
        assert self._transaction is not None
        if reply.code == 354 and None in self._outcomes:
            self._writer = ContentWriter()
            self._events.append(ContentWanted(self._transaction.key))
        elif reply.code == 354:  # RFC 2920 3.1: every recipient was refused and DATA still taken
            self._out += b".\r\n"
            self._waiting.append(Step.DOT)
        elif reply.is_positive:
            self._end(clean=False, why=f"DATA: {reply}")
        else:
            self._fail(Step.DATA, reply)
            self._reset_after_refusal()

    def _fail(self, step: Step, reply: Reply) -> None:
        """Writes down a refusal for those it concerns and who have no outcome yet: the first refusal counts."""
        if reply.is_positive or not self._outcomes:
            return
        match step:
            case Step.MAIL | Step.DATA | Step.DOT:
                stage = {Step.MAIL: Stage.MAIL, Step.DATA: Stage.DATA, Step.DOT: Stage.DOT}[step]
                self._outcomes = [outcome or Outcome(stage, reply) for outcome in self._outcomes]
            case Step.RCPT:
                self._outcomes[self._next_recipient] = self._outcomes[self._next_recipient] or Outcome(
                    Stage.RCPT, reply
                )
            case _:
                pass

    def _reset_after_refusal(self) -> None:
        self._finish()
        self._command(Step.RSET, "RSET")

    def _decide(self, outcome: Outcome) -> None:
        """The reply to the dot: an outcome for all who were not refused before."""
        self._outcomes = [known or outcome for known in self._outcomes]
        self._finish()
        self._is_ready = True

    def _finish_all(self, outcome: Outcome) -> None:
        self._outcomes = [outcome] * len(self._outcomes)
        self._finish()
        self._is_ready = True

    def _finish(self) -> None:
        assert self._transaction is not None
        outcomes = tuple(outcome for outcome in self._outcomes if outcome is not None)
        self._events.append(Finished(self._transaction.key, outcomes))
        self._transaction, self._outcomes = None, []

    def _end(self, *, clean: bool, why: str) -> None:
        """No more is said. What was in flight gets the outcome of where it stood."""
        self._over = True
        self._is_ready = False
        if self._transaction is not None:
            if Step.DOT in self._waiting:
                stage = Stage.AFTER_DOT
            elif self._writer is not None:
                stage = Stage.CONTENT
            else:
                stage = Stage.NOT_SENT
            self._outcomes = [outcome or Outcome(stage) for outcome in self._outcomes]
            self._finish()
        self._writer = None
        self._waiting.clear()
        self._events.append(SenderEnded(clean, why))

    def _size(self, transaction: Transaction) -> str:
        return f" SIZE={transaction.size}" if "SIZE" in self._keywords else ""

    def _command(self, step: Step, line: str) -> None:
        self._waiting.append(step)
        self._out += line.encode("ascii") + b"\r\n"
