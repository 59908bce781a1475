"""Dialogue files: what the customer (C:) and the provider (P:) say, line by line, as RFC 2645 prints it.

`*` in a P: line matches anything; `P: ...` skips lines up to the next that matches; `P: <closed>` waits for the end;
`C: <close>` makes one. `{cram USER SECRET}` in a C: line is the answer to the last challenge. A line `# mail: DOMAIN ...`
puts one message for each domain into the queue. The same file runs in memory and against a live port.
"""

import base64
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from shared.protocol.sasl.cram_md5 import respond

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
    return Dialogue(path.stem, mail, tuple(turns))


def all_dialogues() -> list[Dialogue]:
    """Every file."""
    return [load(path) for path in sorted(FOLDER.glob("*.dialogue"))]


async def run_dialogue(dialogue: Dialogue, line: Line) -> None:
    """Speaks it. Fails with the file's line number."""
    challenge = b""
    skipping = False
    for turn in dialogue.turns:
        where = f"{dialogue.name}.dialogue:{turn.number}"
        if turn.who == "C":
            if turn.text == "<close>":
                await line.close()
                continue
            await line.send(_fill(turn.text, challenge).encode("latin-1") + b"\r\n")
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
                challenge = base64.b64decode(got[4:])
    await line.close()


def _fill(text: str, challenge: bytes) -> str:
    found = re.search(r"\{cram (\S+) (.+)\}", text)
    if not found:
        return text.replace("{long}", "x" * 13_000)
    answer = respond(found[1], found[2].encode(), challenge)
    return text.replace(found[0], base64.b64encode(answer).decode())
