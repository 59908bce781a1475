"""The connector between the turned line and a local server: an SMTP server to the provider, an SMTP client to the local one.

RFC 5321, 2920, 3030. It passes commands on one by one, so that the local server need know neither PIPELINING nor CHUNKING:
both are offered to the provider on its behalf. It never answers for a message before the local server has, but for one
that the ledger says was taken already. Security: recipients outside the customer's domains are refused, since a local server
trusts this machine; extensions that change the line (STARTTLS, AUTH) or lead elsewhere are not passed on.
"""

import enum
from collections import deque
from collections.abc import Callable
from typing import Final

from shared.protocol import reply as r
from shared.protocol.dotstuff import BareLineEnd, ContentReader, ContentWriter
from shared.protocol.events import NEED_DATA, RelayEnded, RelayEvent, Remember, ToProvider, ToServer
from shared.protocol.grammar import BadSyntax, Command, parse_command, parse_mail, parse_rcpt
from shared.protocol.memory import Claim, Memory
from shared.protocol.reply import BadReply, Reply, ReplyReader
from shared.protocol.wire import MAX_ODMR_LINE, MAX_REPLY_LINE, LineBuffer, LineTooLong

#: Of the local server's EHLO these are passed on; what else it can is between it and others.
PASSED_ON: Final = frozenset({"SIZE", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"})
OFFERED: Final = ("PIPELINING", "CHUNKING")
#: Octets of the provider's that may wait for the local server.
MAX_WAITING: Final = 256 * 1024


class _Mode(enum.Enum):
    """What comes next from the provider."""

    COMMAND = enum.auto()
    REPLY = enum.auto()  # nothing is read from it until the local server has answered
    DATA = enum.auto()
    CHUNK = enum.auto()
    OVER = enum.auto()


class Relay:
    """Bytes of both sides in, events out. `memory` is the ledger; `is_ours(domain)` is the guard on RCPT."""

    def __init__(self, memory: Memory, is_ours: Callable[[str], bool]) -> None:
        self._memory = memory
        self._is_ours = is_ours
        self._provider = LineBuffer(MAX_ODMR_LINE)
        self._server = LineBuffer(MAX_REPLY_LINE)
        self._replies = ReplyReader()
        self._mode = _Mode.REPLY
        self._verb = ""  # whose reply is awaited; "" is the greeting
        self._events: deque[RelayEvent] = deque()
        self._provider_eof = self._server_eof = False
        #: Commands that go to the local server one after the other, for the last of which the provider has its reply.
        self._steps: deque[tuple[str, str]] = deque()
        #: The local server has a MAIL that neither content nor RSET has ended.
        self._is_open = False
        #: And it is that of the provider's transaction.
        self._is_said = False
        self._id = self._mail_line = self._path = ""
        self._claimed: list[str] = []
        self._taking: list[str] = []
        self._repeated: list[str] = []
        self._reader = ContentReader()
        self._writer: ContentWriter | None = None
        self._left = 0
        self._is_last = False
        #: The reply to DATA, where the provider's chunks are thrown away because of it.
        self._refused: Reply | None = None
        #: Messages that the local server has taken in this session.
        self.taken = 0

    @property
    def reads_provider(self) -> bool:
        """Whether more of the provider's octets are wanted now; else they wait on the line."""
        return not self._provider_eof and len(self._provider) < MAX_WAITING

    @property
    def provider_is_gone(self) -> bool:
        """Only the local server's last word is waited for, since it is remembered."""
        return self._provider_eof

    @property
    def server_is_gone(self) -> bool:
        """The local server closed."""
        return self._server_eof

    def from_provider(self, data: bytes) -> None:
        """Octets of the provider's; b"" means that it closed."""
        self._provider.feed(data)
        self._provider_eof = self._provider_eof or not data

    def from_server(self, data: bytes) -> None:
        """Octets of the local server's; b"" means that it closed."""
        self._server.feed(data)
        self._server_eof = self._server_eof or not data

    def next_event(self) -> RelayEvent:
        """The next thing to do, in this order and no other."""
        while not self._events:
            if self._mode is _Mode.OVER or not self._step():
                return NEED_DATA
        return self._events.popleft()

    # --- what comes in ------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Takes one thing from a side; False when both have said all."""
        try:
            return self._take_reply() or self._take_from_provider()
        except (LineTooLong, BadReply) as error:
            self._end(f"what is no line or reply: {type(error).__name__} {error}", clean=False)
        except BareLineEnd:
            self._end("content with a bare CR or LF", clean=False)
        return True

    def _take_reply(self) -> bool:
        line = self._server.next_line()
        if line is None:
            if self._server_eof:
                self._end("the local server closed the connection", clean=False)
            return self._server_eof
        reply = self._replies.add(line)
        if reply is None:
            return True
        if reply.code == 421:  # RFC 5321 3.8: at any time
            self._say(reply)
            self._end(str(reply), clean=True, by_421=True)
        elif self._mode is not _Mode.REPLY:
            self._end(f"the local server said what nothing asked for: {reply}", clean=False)
        else:
            self._answered(reply)
        return True

    def _take_from_provider(self) -> bool:
        match self._mode:
            case _Mode.COMMAND:
                return self._take_command()
            case _Mode.DATA:
                return self._take_data()
            case _Mode.CHUNK:
                return self._take_chunk()
            case _Mode.REPLY if self._provider_eof and self._verb != ".":
                self._end("the provider closed the connection", clean=self._verb == "QUIT")
                return True
            case _:
                return False

    def _take_command(self) -> bool:
        try:
            line = self._provider.next_line()
        except LineTooLong:
            self._say(r.S500_LINE_TOO_LONG)
            return True
        if line is None:
            if self._provider_eof:
                self._end("the provider closed the connection", clean=False)
            return self._provider_eof
        try:
            command = parse_command(line, may_be_utf8=True)
            self._command(command)
        except BadSyntax:
            self._say(r.S501_SYNTAX)
        return True

    # --- commands -----------------------------------------------------------------------------------------------------

    def _command(self, command: Command) -> None:
        match command.verb:
            case "EHLO" | "HELO":
                self._forget()
                self._ask(f"{command.verb} {command.argument}", command.verb)
            case "MAIL":
                self._mail(command)
            case "RCPT":
                self._rcpt(command)
            case "DATA":
                self._data()
            case "BDAT":
                self._bdat(command)
            case "RSET":
                self._forget()
                if self._is_open:
                    self._ask("RSET", "RSET")
                else:  # a round trip saved for each message
                    self._say(r.S250_OK)
            case "NOOP" | "QUIT":
                self._ask(command.verb, command.verb)
            case _:
                self._say(r.S502_NOT_HERE)

    def _mail(self, command: Command) -> None:
        """The local server hears it with the first recipient that is new: what it took already it is not asked about again,
        since a refusal now would tell the sender that what was delivered was not."""
        parsed = parse_mail(command.argument)
        self._forget()
        self._id = parsed.parameters.pop("XODMRID", "")
        words = (f"{name}={value}" if value else name for name, value in parsed.parameters.items())
        self._mail_line = " ".join((f"MAIL FROM:<{parsed.path}>", *words))
        self._say(r.S250_OK)

    def _rcpt(self, command: Command) -> None:
        """A repeat is answered for; it and what is new never share a transaction, whose one reply could not fit both."""
        parsed = parse_rcpt(command.argument)
        path = str(parsed.path)
        if parsed.path.domain and not self._is_ours(parsed.path.domain.lower()):
            self._say(r.S550_NO_RELAY)
            return
        if not self._mail_line:
            self._say(r.S503_MAIL_FIRST)
            return
        claim = self._memory.claim(self._id, path) if self._id else Claim.OURS
        if claim is Claim.ELSEWHERE:
            self._say(r.S450_TAKEN_ELSEWHERE)
            return
        is_repeat = claim is Claim.TAKEN
        if not is_repeat:
            self._claimed.append(path)
        if is_repeat and self._taking or self._repeated and not is_repeat:
            self._say(r.S452_TOO_MANY_RECIPIENTS)
        elif is_repeat:
            self._repeated.append(path)
            self._say(r.S250_TAKEN_BEFORE)
        else:
            self._path = path
            words = (f"{name}={value}" if value else name for name, value in parsed.parameters.items())
            if not self._is_said:
                self._steps += [*([("RSET", "RSET")] if self._is_open else []), (self._mail_line, "MAIL")]
            self._steps.append((" ".join((f"RCPT TO:<{path}>", *words)), "RCPT"))
            self._ask(*self._steps.popleft())

    def _data(self) -> None:
        if self._taking:
            self._reader = ContentReader()
            self._ask("DATA", "DATA")
        elif self._repeated:
            self._reader = ContentReader()
            self._mode = _Mode.DATA
            self._say(r.S354_GO_AHEAD)
        else:
            self._say(r.S503_RCPT_FIRST)

    def _bdat(self, command: Command) -> None:
        size, _, last = command.argument.partition(" ")
        if not (size.isascii() and size.isdigit()) or last.upper() not in ("", "LAST"):
            self._say(r.S501_SYNTAX)
            self._end("BDAT that cannot be read", clean=False)  # RFC 3030 2: nobody knows how many octets follow
            return
        self._left, self._is_last = int(size), bool(last)
        self._mode = _Mode.CHUNK
        if self._taking and self._writer is None and self._refused is None:
            self._ask("DATA", "BDAT")

    # --- content ------------------------------------------------------------------------------------------------------

    def _take_data(self) -> bool:
        data = self._provider.take_rest()
        if not data:
            if self._provider_eof:
                self._end("the provider closed the connection in content", clean=False)
            return self._provider_eof
        self._write(self._reader.feed(data))
        if self._reader.is_complete:
            self._provider.push_back(self._reader.rest)
            self._content_ended()
        return True

    def _take_chunk(self) -> bool:
        data = self._provider.take_rest()
        piece, rest = data[: self._left], data[self._left :]
        if len(piece) < self._left and piece.endswith(b"\r"):  # a line end stays whole
            piece, rest = piece[:-1], b"\r"
        self._provider.push_back(rest)
        self._left -= len(piece)
        self._write(piece)
        if not self._left:
            self._chunk_ended()
            return True
        if not piece and self._provider_eof:
            self._end("the provider closed the connection in content", clean=False)
            return True
        return bool(piece)

    def _write(self, content: bytes) -> None:
        if self._writer is not None and content:
            self._events.append(ToServer(self._writer.write(content)))

    def _chunk_ended(self) -> None:
        self._mode = _Mode.COMMAND
        if self._refused is not None:
            self._say(self._refused)
        elif self._is_last:
            self._content_ended()
        elif self._taking or self._repeated:
            self._say(r.S250_OK)
        else:
            self._say(r.S503_RCPT_FIRST)

    def _content_ended(self) -> None:
        self._mode = _Mode.COMMAND
        if self._writer is not None:
            self._events.append(ToServer(self._writer.finish()))
            self._writer = None
            self._mode, self._verb = _Mode.REPLY, "."
        elif self._repeated:
            self._forget()
            self._say(r.S250_TAKEN_BEFORE)
        else:
            self._say(r.S503_RCPT_FIRST)

    # --- the local server's replies -----------------------------------------------------------------------------------

    def _answered(self, reply: Reply) -> None:
        verb, self._mode = self._verb, _Mode.COMMAND
        if reply.is_positive:
            self._is_said = self._is_said or verb == "MAIL"
            if self._steps:
                self._is_open = verb == "MAIL"
                self._ask(*self._steps.popleft())
                return
        elif self._steps and verb == "RSET":
            reply = r.S451_LOCAL_TROUBLE  # what it says of RSET it does not say of the recipient
        self._steps.clear()
        self._is_open = self._is_open and verb not in ("EHLO", "HELO", "RSET", ".")
        match verb:
            case "EHLO" if reply.is_positive:
                self._say(_offered(reply))
                return
            case "RCPT" if reply.is_positive:
                self._taking.append(self._path)
            case "DATA" | "BDAT":
                self._content_asked(verb, reply)
                return
            case ".":
                self._last_word(reply)
                return
            case "QUIT":
                self._say(reply)
                self._end("the queue is empty", clean=True)
                return
        self._say(reply)

    def _content_asked(self, verb: str, reply: Reply) -> None:
        """The reply to DATA. Who said BDAT hears a refusal in the place of its chunk's reply."""
        if reply.code == 354:
            self._writer = ContentWriter()
            self._mode = _Mode.DATA if verb == "DATA" else _Mode.CHUNK
            if verb == "DATA":
                self._say(reply)
            return
        if reply.is_positive or 300 <= reply.code < 400:
            self._end(f"DATA: {reply}", clean=False)
        elif verb == "DATA":
            self._say(reply)
        else:
            self._refused = reply
            self._mode = _Mode.CHUNK

    def _last_word(self, reply: Reply) -> None:
        if reply.is_positive:
            self.taken += 1
            if self._id:
                self._events.append(Remember(self._id, tuple(self._taking)))
                self._claimed = [path for path in self._claimed if path not in self._taking]
        self._forget()
        self._say(reply)

    def _forget(self) -> None:
        if self._id:
            self._memory.let_go(self._id, self._claimed)
        self._id = self._mail_line = self._path = ""
        self._is_said = False
        self._claimed, self._taking, self._repeated = [], [], []
        self._writer = self._refused = None

    def _ask(self, line: str, verb: str) -> None:
        self._mode, self._verb = _Mode.REPLY, verb
        self._events.append(ToServer(line.strip().encode() + b"\r\n"))

    def _say(self, reply: Reply) -> None:
        self._events.append(ToProvider(reply.to_wire()))

    def _end(self, why: str, *, clean: bool, by_421: bool = False) -> None:
        self._mode = _Mode.OVER
        self._events.append(RelayEnded(why, clean, by_421))


def _offered(reply: Reply) -> Reply:
    """The reply to EHLO as the provider hears it."""
    kept = [line for line in reply.lines[1:] if line.upper().split(" ")[0] in PASSED_ON]
    return Reply(reply.code, "", (reply.lines[0] or "localhost", *OFFERED, *kept))
