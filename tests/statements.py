"""Which statements of the protocol's check-list (R1 to R107) are shown by a test that ran.

A test names a statement in its name (`test_r04_...`), its docstring ("R62: ..."), or by the mark `statement`, which dialogue
files set from their comments. With `--statements` a run fails when one of REQUIRED had no test that passed.
"""

import re
from collections.abc import Iterator

import pytest

#: All that docs/rfc.md does not give as No; docs/rfc.md says of each how far it is done.
REQUIRED = frozenset(
    f"R{i}" for first, last in ((1, 66), (70, 80), (90, 101), (103, 103), (107, 107)) for i in range(first, last + 1)
)
_IN_NAME = re.compile(r"(?<![a-z0-9])r(\d{1,3})(?=_)")
_IN_WORDS = re.compile(r"\bR(\d{1,3})\b")

_shown: set[str] = set()
_skipped: set[str] = set()


def in_words(text: str) -> set[str]:
    """The statements that a text names; "R41 to R43" names all three."""
    spans = re.findall(r"\bR(\d{1,3}) to R(\d{1,3})\b", text)
    spanned = {f"R{i}" for first, last in spans for i in range(int(first), int(last) + 1)}
    return spanned | {f"R{int(number)}" for number in _IN_WORDS.findall(text)}


def _named_by(item: pytest.Item) -> Iterator[str]:
    for mark in item.iter_markers("statement"):
        yield from mark.args
    yield from (f"R{int(number)}" for number in _IN_NAME.findall(getattr(item, "originalname", item.name)))
    yield from in_words(getattr(getattr(item, "function", None), "__doc__", None) or "")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--statements", action="store_true", help="fail when a statement has no test that passed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.user_properties += [("statement", name) for name in sorted(set(_named_by(item)))]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    names = {str(value) for name, value in report.user_properties if name == "statement"}
    if report.when == "call" and report.passed:
        _shown.update(names)
    elif report.skipped:
        _skipped.update(names)


def pytest_sessionfinish(session: pytest.Session) -> None:
    is_worker = hasattr(session.config, "workerinput")
    if session.config.getoption("--statements") and not is_worker and REQUIRED - _shown:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if terminalreporter.config.getoption("--statements"):
        missing = sorted(REQUIRED - _shown, key=lambda name: int(name[1:]))
        line = f"statements: {len(REQUIRED & _shown)} of {len(REQUIRED)} shown"
        for what, names in (("no test ran that names", set(missing) - _skipped), ("skipped", set(missing) & _skipped)):
            if names:
                line += f"; {what} {', '.join(sorted(names, key=lambda name: int(name[1:])))}"
        terminalreporter.write_line(line)
