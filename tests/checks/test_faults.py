"""docs/faults.md has every row of the fault matrix, and every test that it names is there."""

import re
from dataclasses import dataclass

from localserve.provider import HERE

#: RELIABILITY 7.
IDS = (
    *(f"K{i}" for i in range(1, 11)), "C1", "C2", *(f"P{i}" for i in range(1, 10)), *(f"N{i}" for i in range(1, 6)), "A1f",
    *(f"X{i}" for i in range(1, 8)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One fault, and the files that show it."""

    id: str
    words: str
    tests: tuple[str, ...]


def rows() -> list[Row]:
    """The table of docs/faults.md."""
    text = (HERE / "docs" / "faults.md").read_text()
    found = re.findall(r"^\| (\w+) \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)
    return [Row(one, words, tuple(re.findall(r"`(tests/[\w/.]+)`", words))) for one, words in found if one != "id"]


def test_every_row_is_there_once() -> None:
    assert tuple(row.id for row in rows()) == IDS


def test_every_test_that_is_named_is_there_and_a_row_without_one_says_why() -> None:
    for row in rows():
        missing = [name for name in row.tests if not (HERE / name).is_file()]
        assert not missing, (row.id, missing)
        assert row.tests or len(row.words) > 40, row.id
