"""The relay between the turned line and a local server: R100, R101, R107, and that nothing but the server's word is a 250."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.events import RelayEnded, Remember, ToProvider, ToServer, Waiting
from shared.protocol.memory import Claim
from shared.protocol.relay import Relay
from tests.protocol.cutting import cuts

HELLO = b"250-local.example\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250-XCLIENT NAME\r\n250-8BITMIME\r\n250-ATRN\r\n250 HELP\r\n"
BODY = b"Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n"
STUFFED = b"Subject: x\r\n\r\n..dot\r\n...\r\nend\r\n.\r\n"


class World:
    """A relay, a local server that answers from a table, and a ledger; keeps what each side heard."""

    def __init__(self, answers: dict[str, bytes] | None = None, *, domains: tuple[str, ...] = (), taken: frozenset[tuple[str, str]] = frozenset()) -> None:  # fmt: skip
        self.answers = {"EHLO": HELLO, "MAIL": b"250 ok\r\n", "RCPT": b"250 ok\r\n", "DATA": b"354 go\r\n", ".": b"250 kept\r\n", "RSET": b"250 ok\r\n", "QUIT": b"221 bye\r\n", **(answers or {})}  # fmt: skip
        self.ledger = set(taken)
        #: What other connections have in hand, and what this one has.
        self.elsewhere: set[tuple[str, str]] = set()
        self.claimed: set[tuple[str, str]] = set()
        self.relay = Relay(self, lambda domain: not domains or domain in domains)
        self.provider, self.server = b"", b""
        self.order: list[str] = []
        self.ended: RelayEnded | None = None
        self._unread = b""
        self._in_content = self._is_open = False
        self.relay.from_server(b"220 local.example\r\n")
        self.run()

    def claim(self, message_id: str, forward_path: str) -> Claim:
        """As the ledger does."""
        one = (message_id, forward_path)
        if one in self.elsewhere | self.ledger:
            return Claim.TAKEN if one in self.ledger else Claim.ELSEWHERE
        self.claimed.add(one)
        return Claim.OURS

    def let_go(self, message_id: str, forward_paths: Sequence[str]) -> None:
        """As the ledger does."""
        self.claimed -= {(message_id, path) for path in forward_paths}

    def say(self, *pieces: bytes) -> "World":
        """The provider says it."""
        for piece in pieces:
            self.relay.from_provider(piece)
            self.run()
        return self

    def run(self) -> None:
        while not isinstance(event := self.relay.next_event(), Waiting):
            self.order.append(type(event).__name__)
            match event:
                case ToProvider(data):
                    self.provider += data
                case ToServer(data):
                    self.server += data
                    self._hear(data)
                case Remember(message_id, paths):
                    taken = {(message_id, path) for path in paths}
                    assert taken <= self.claimed
                    self.ledger |= taken
                    self.claimed -= taken
                case RelayEnded():
                    self.ended = event

    def _hear(self, data: bytes) -> None:
        self._unread += data
        while self._unread:
            end = b"\r\n.\r\n" if self._in_content else b"\r\n"
            line, found, rest = (b"\r\n" + self._unread if self._in_content else self._unread).partition(end)
            if not found:
                return
            self._unread = rest
            verb = "." if self._in_content else line.split(b" ")[0].decode().upper()
            answer = self._in_order(verb) or self.answers.get(verb, b"500 what\r\n")
            if answer.startswith(b"2") and verb in ("MAIL", ".", "RSET", "EHLO"):
                self._is_open = verb == "MAIL"
            self._in_content = verb == "DATA" and answer.startswith(b"354")
            if answer:
                self.relay.from_server(answer)

    def _in_order(self, verb: str) -> bytes:
        """Postfix's words to what comes out of order."""
        if verb == "MAIL" and self._is_open:
            return b"503 5.5.1 Error: nested MAIL command\r\n"
        return b"503 5.5.1 Error: need MAIL command\r\n" if verb in ("RCPT", "DATA") and not self._is_open else b""

    @property
    def codes(self) -> list[int]:
        """Of the replies that the provider heard, behind the greeting."""
        return [int(code) for code in re.findall(rb"^(\d{3}) ", self.provider, re.MULTILINE)][1:]


def wide(message_id: str, *paths: str, body: bytes = BODY) -> bytes:
    """A message as the provider's sender says it, nothing waited for."""
    rcpt = b"".join(b"RCPT TO:<%s>\r\n" % path.encode() for path in paths)
    return b"MAIL FROM:<a@b.example> SIZE=%d XODMRID=%s\r\n%sBDAT %d LAST\r\n%sRSET\r\n" % (
        len(body), message_id.encode(), rcpt, len(body), body,
    )  # fmt: skip


def test_r100_what_the_local_server_can_is_passed_on_as_far_as_it_may_be() -> None:
    world = World().say(b"EHLO mx\r\n")
    lines = world.provider.split(b"\r\n")[1:-1]
    assert lines == [b"250-local.example", b"250-PIPELINING", b"250-CHUNKING", b"250-SIZE 1000", b"250 8BITMIME"]
    assert world.say(b"STARTTLS\r\nAUTH PLAIN\r\nXCLIENT x\r\nVRFY x\r\nfoo\r\n\r\n").codes == [
        250,
        502,
        502,
        502,
        502,
        502,
        501,
    ]
    assert world.server == b"EHLO mx\r\n"


@given(cuts(b"EHLO mx\r\n" + wide("1", "u@c.example") + wide("2", "v@c.example", "w@c.example") + b"QUIT\r\n"))
def test_chunks_become_data_for_a_server_that_knows_none(pieces: list[bytes]) -> None:
    """R98: every octet, dots too; one command at a time, and XODMRID stays here."""
    world = World().say(*pieces)
    assert world.codes == [250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 221] and world.relay.taken == 2
    assert world.server.count(STUFFED) == 2 and b"XODMRID" not in world.server and b"BDAT" not in world.server
    assert world.ledger == {("1", "u@c.example"), ("2", "v@c.example"), ("2", "w@c.example")}
    assert world.ended == RelayEnded("the queue is empty", clean=True)


def test_r107_it_is_remembered_before_the_provider_hears_250() -> None:
    world = World().say(wide("1", "u@c.example"))
    assert world.order[-3:] == ["Remember", "ToProvider", "ToProvider"]  # 250, and that to RSET


def test_r107_a_repeat_is_answered_for_and_not_given_again() -> None:
    taken = frozenset({("1", "u@c.example")})
    world = World(taken=taken).say(wide("1", "u@c.example") + wide("2", "u@c.example"))
    assert world.codes == [250, 250, 250, 250, 250, 250, 250, 250]
    assert world.server.count(b"DATA") == 1 and world.server.count(STUFFED) == 1
    classic = World(taken=taken).say(
        b"MAIL FROM:<> XODMRID=1\r\nRCPT TO:<u@c.example>\r\nDATA\r\n", STUFFED, b"NOOP\r\n"
    )
    assert classic.codes == [250, 250, 354, 250, 500] and b"DATA" not in classic.server


def test_a_repeat_and_what_is_new_never_share_a_transaction() -> None:
    """One reply could not fit both: the second hears 452, and comes in another transaction at once (R48)."""
    taken = frozenset({("1", "u@c.example")})
    world = World(taken=taken).say(wide("1", "u@c.example", "v@c.example"))
    assert world.codes == [250, 250, 452, 250, 250] and b"DATA" not in world.server
    world = World(taken=taken).say(wide("1", "v@c.example", "u@c.example"))
    assert world.codes == [250, 250, 452, 250, 250] and world.server.count(b"DATA") == 1
    assert ("1", "v@c.example") in world.ledger


@pytest.mark.parametrize("answer", [b"451 later\r\n", b"554 no\r\n"])
def test_what_the_server_refuses_is_not_remembered(answer: bytes) -> None:
    world = World({".": answer}).say(wide("1", "u@c.example"))
    assert world.codes[-2:] == [int(answer[:3]), 250] and not world.ledger and not world.relay.taken


def test_data_that_is_refused_is_told_in_the_place_of_the_chunk() -> None:
    """RFC 3030: the octets are read whatever the answer is, and the next message is not hurt."""
    world = World({"DATA": b"452 full\r\n"}).say(wide("1", "u@c.example"))
    assert world.codes == [250, 250, 452, 250]
    world.answers["DATA"] = b"354 go\r\n"
    assert world.say(wide("2", "u@c.example")).codes[4:] == [250, 250, 250, 250]
    nobody = World({"RCPT": b"550 nobody\r\n"}).say(wide("1", "u@c.example"))
    assert nobody.codes == [250, 550, 503, 250] and b"DATA" not in nobody.server


def test_r101_recipients_that_are_not_ours_are_refused_here() -> None:
    """A provider that has gone bad cannot relay through a local server that trusts this machine."""
    world = World(domains=("c.example",)).say(wide("1", "u@elsewhere.example", "u@C.example"))
    assert world.codes == [250, 550, 250, 250, 250] and b"elsewhere" not in world.server
    assert World(domains=("c.example",)).say(b"MAIL FROM:<>\r\nRCPT TO:<postmaster>\r\n").codes == [250, 250]


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "."])
def test_a_421_is_passed_on_and_ends_it_cleanly(verb: str) -> None:
    world = World({verb: b"421 enough\r\n"}).say(wide("1", "u@c.example"))
    assert world.codes[-1] == 421 and world.ended == RelayEnded("421 enough", clean=True, by_421=True)
    assert not world.ledger


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"250 what\r\n", "the local server said what nothing asked for: 250 what"),
        (b"nonsense\r\n", "what is no line or reply: BadReply"),
    ],
)
def test_a_server_that_makes_no_sense_ends_it(said: bytes, why: str) -> None:
    world = World()
    world.relay.from_server(said)
    world.run()
    assert world.ended is not None and world.ended.why.startswith(why) and not world.ended.clean


@pytest.mark.parametrize("content", [b"bare\nlf\r\n", b"bare\rcr\r\n"])
def test_content_that_a_lax_server_would_cut_is_never_passed_on(content: bytes) -> None:
    world = World().say(wide("1", "u@c.example", body=content))
    assert world.ended is not None and not world.ended.clean and b"bare" not in world.server


@given(st.integers(0, len(wide("1", "u@c.example")) - 1))
def test_r103_a_cut_of_the_provider_invents_no_dot(at: int) -> None:
    world = World().say(wide("1", "u@c.example")[:at], b"")
    whole = at >= len(wide("1", "u@c.example")) - len(b"RSET\r\n")
    assert (world.server.count(b"\r\n.\r\n") == 1) is whole and bool(world.ledger) is whole
    assert world.ended is not None and not world.ended.clean


def test_the_servers_last_word_counts_though_the_provider_is_gone() -> None:
    """R107: what it took is remembered, so that the repeat is known."""
    world = World({".": b""}).say(wide("1", "u@c.example"), b"")
    assert not world.codes[3:] and world.relay.provider_is_gone
    world.relay.from_server(b"250 kept\r\n")
    world.run()
    assert world.ledger == {("1", "u@c.example")} and world.ended is not None
    cut = World({".": b""}).say(wide("1", "u@c.example"), b"")
    cut.relay.from_server(b"")
    cut.run()
    assert not cut.ledger and cut.ended is not None and not cut.ended.clean


def test_no_more_is_read_than_may_wait() -> None:
    world = World({"MAIL": b""}).say(b"MAIL FROM:<>\r\nRCPT TO:<u@c.example>\r\n")
    assert world.relay.reads_provider
    world.say(b"x" * (256 * 1024))
    assert not world.relay.reads_provider


def test_bad_commands_are_refused_here() -> None:
    world = World().say(b"MAIL nonsense\r\nRCPT TO:<>\r\nDATA\r\n" + b"x" * 13_000 + b"\r\n")
    assert world.codes == [501, 501, 503, 500] and world.server == b""
    assert World().say(b"BDAT x LAST\r\n").ended is not None


def test_r107_a_message_that_another_connection_has_in_hand_is_put_off() -> None:
    world = World()
    world.elsewhere = {("1", "u@c.example")}
    world.say(b"EHLO p\r\n", wide("1", "u@c.example", "v@c.example"), wide("2", "u@c.example"))
    assert world.codes == [250, 250, 450, 250, 250, 250, 250, 250, 250, 250]
    assert world.ledger == {("1", "v@c.example"), ("2", "u@c.example")} and not world.claimed
    assert world.server.count(b"RCPT TO:<u@c.example>") == 1


@pytest.mark.parametrize(
    "answers", [{".": b"451 later\r\n"}, {"RCPT": b"450 no\r\n"}, {"DATA": b"450 no\r\n"}, {"MAIL": b"450 no\r\n"}]
)
def test_r107_what_the_local_server_did_not_take_is_let_go(answers: dict[str, bytes]) -> None:
    world = World(answers).say(b"EHLO p\r\n", wide("1", "u@c.example"))
    assert not world.ledger and not world.claimed


def test_r107_what_it_took_already_the_local_server_is_not_asked_about_again() -> None:
    """A refusal of MAIL now would tell the sender that what was delivered was not."""
    world = World({"MAIL": b"554 no more of that sender\r\n"}, taken=frozenset({("1", "u@c.example")}))
    world.say(b"EHLO p\r\n", wide("1", "u@c.example"), wide("2", "u@c.example"))
    assert world.codes == [250, 250, 250, 250, 250, 250, 554, 503, 250]
    assert world.server.count(b"MAIL FROM") == 1


def test_r107_a_repeat_leaves_no_transaction_open_at_the_local_server() -> None:
    """To Postfix the next MAIL would be nested, which is a refusal for good."""
    world = World({"RCPT": b"450 full\r\n"}, taken=frozenset({("1", "u@c.example"), ("3", "u@c.example")}))
    world.say(
        b"EHLO p\r\n", wide("1", "u@c.example"), wide("1", "v@c.example", "u@c.example").removesuffix(b"RSET\r\n")
    )
    world.answers["RCPT"] = b"250 ok\r\n"
    world.say(wide("2", "u@c.example"), wide("3", "u@c.example"), b"QUIT\r\n")
    assert world.codes == [250, *[250] * 4, 250, 450, 250, 250, *[250] * 8, 221]
    assert world.server.count(b"RSET\r\n") == 1 and world.ledger > {("2", "u@c.example")}
