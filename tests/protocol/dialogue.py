"""Dialogue files: what the customer (C:) and the provider (P:) say, line by line, as RFC 2645 prints it.

`*` in a P: line matches anything; `P: ...` skips lines up to the next that matches; `P: <closed>` waits for the end;
`C: <close>` makes one. `{cram USER SECRET}` in a C: line is the answer to the last challenge, `{scramfirst USER SECRET}`,
`{scramfinal}` and `{scramproved}` are SCRAM's three steps. A comment may name statements of the check-list (R7). A line `# mail: DOMAIN ...`
puts one message for each domain into the queue. The same file runs in memory and against a live port.
"""

import base64
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

import pytest
from _pytest.mark import ParameterSet

from shared.protocol.sasl import plain
from shared.protocol.sasl.cram_md5 import respond
from shared.protocol.sasl.scram import Client
from tests.statements import in_words

FOLDER = Path(__file__).parent / "dialogues"

#: name -> secret and domains of the customers whom every dialogue knows.
CUSTOMERS = {
    "example": ("tanstaaftanstaaf", ("example.org", "example.com")),
    "other": ("another secret", ("other.example",)),
    "empty": ("nothing here", ("empty.example",)),
}
REVERSE_PATH = "sender@remote.example"
BODY = b"Subject: hello\r\n\r\n.dots are stuffed\r\nbye\r\n"


@dataclass(frozen=True, slots=True)
class Turn:
    """Who says what."""

    who: str
    text: str
    number: int


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One file."""

    name: str
    mail: tuple[str, ...]
    statements: frozenset[str]
    turns: tuple[Turn, ...]


class Line(Protocol):
    """A connection to a provider, live or in memory."""

    async def send(self, data: bytes) -> None:
        """Says it."""
        ...

    async def read_line(self) -> bytes | None:
        """The next line with its end; None when the provider has closed."""
        ...

    async def close(self) -> None:
        """Hangs up."""
        ...


def load(path: Path) -> Dialogue:
    """Reads a file."""
    mail: tuple[str, ...] = ()
    turns: list[Turn] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("# mail:"):
            mail = tuple(line.removeprefix("# mail:").split())
        elif line.strip() and not line.startswith("#"):
            who, _, text = line.partition(":")
            assert who in ("C", "P"), f"{path.name}:{number}: {line!r}"
            turns.append(Turn(who, text.removeprefix(" "), number))
    comments = [line for line in path.read_text().splitlines() if line.startswith("# ")]
    return Dialogue(path.stem, mail, frozenset(in_words("\n".join(comments))), tuple(turns))


def all_dialogues() -> list[Dialogue]:
    """Every file."""
    return [load(path) for path in sorted(FOLDER.glob("*.dialogue"))]


def parameters() -> list[ParameterSet]:
    """Every file, for parametrize: by its name, and marked with the statements that its comments name."""
    return [
        pytest.param(dialogue, id=dialogue.name, marks=pytest.mark.statement(*sorted(dialogue.statements)))
        for dialogue in all_dialogues()
    ]


async def run_dialogue(dialogue: Dialogue, line: Line) -> None:
    """Speaks it, and hangs up. Fails with the file's line number."""
    await speak(dialogue, line)
    await line.close()


async def speak(dialogue: Dialogue, line: Line) -> None:
    """Speaks it, and stays on the line."""
    answers = _Answers()
    skipping = False
    for turn in dialogue.turns:
        where = f"{dialogue.name}.dialogue:{turn.number}"
        if turn.who == "C":
            if turn.text == "<close>":
                await line.close()
                continue
            await line.send(answers.fill(turn.text).encode("latin-1") + b"\r\n")
        elif turn.text == "...":
            skipping = True
        else:
            while True:
                got = await line.read_line()
                text = "<closed>" if got is None else got.decode("latin-1").removesuffix("\r\n")
                if fnmatchcase(text, turn.text.replace("[", "[[]")):
                    break
                assert skipping and got is not None, f"{where}: the provider says {text!r}, not {turn.text!r}"
            skipping = False
            if got is not None and got.startswith(b"334 "):
                answers.challenge = base64.b64decode(got[4:])


class _Answers:
    """What a C: line says in place of its braces."""

    def __init__(self) -> None:
        self.challenge = b""
        self._scram = Client("", b"", "")

    def fill(self, text: str) -> str:
        text = text.replace("{long}", "x" * 13_000).replace("{names}", ",".join(f"d{i}.example" for i in range(1_001)))
        text = text.replace("{manynames}", ",".join(f"{i}.x" for i in range(1_001)))
        found = re.search(r"\{(\w+)((?: \S+)*)\}", text)
        if not found:
            return text
        answer = self._answer(found[1], *found[2].strip().split(" ", 1))
        return text.replace(found[0], base64.b64encode(answer).decode())

    def _answer(self, what: str, user: str, secret: str = "") -> bytes:
        match what:
            case "cram":
                return respond(user, secret.encode(), self.challenge)
            case "plain":
                return plain.respond(user, secret.encode())
            case "scramfirst":
                self._scram = Client(user, secret.encode(), "client")
                return self._scram.first()
            case "scramfinal":
                return self._scram.final(self.challenge)
            case "scramproved":
                self._scram.verify(self.challenge)
                return b""
            case _:
                return what.encode()
