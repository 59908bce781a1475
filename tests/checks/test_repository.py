"""Facts about the repository that a reader counts on."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from localserve.provider import HERE
from services.api.settings import ApiSettings
from services.auth.settings import AuthSettings
from services.inbound.settings import InboundSettings
from services.odmr.settings import OdmrSettings
from services.outbound.settings import OutboundSettings
from shared import VERSION
from shared.bus.subjects import AUTH_KEY, AUTH_MINT, AUTH_VERIFY
from shared.domain.message import RecipientState
from shared.protocol.states import ANSWERS, COMMANDS, State

TRACKED = [
    HERE / name for name in subprocess.run(["git", "ls-files"], cwd=HERE, capture_output=True, text=True).stdout.split()
]
CODE = [
    path
    for folder in ("cli", "localserve", "services", "connector", "shared")
    for path in sorted((HERE / folder).rglob("*.py"))
]
TESTS = sorted((HERE / "tests").rglob("*.py"))
MAX_LINES = 400
SETTINGS = (InboundSettings, OdmrSettings, AuthSettings, OutboundSettings, ApiSettings)


@pytest.mark.parametrize("path", [*CODE, *TESTS], ids=lambda path: str(path.relative_to(HERE)))
def test_a_file_is_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(HERE)))
def test_what_others_call_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "no module docstring"
    public = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert public == []


def test_no_test_mocks_or_sleeps() -> None:
    for path in TESTS:
        if path.name in ("test_repository.py", "waiting.py"):
            continue
        text = path.read_text()
        assert "mock" not in re.sub(r"no mock|No mock", "", text), path
        for wait in re.findall(r"(?:asyncio|time)\.sleep\(([^)]*)\)", text):
            assert wait.strip() in ("0", "0.1", "0.05", "_LOOK_EVERY"), f"{path}: sleep({wait})"


def test_every_rfc_that_the_code_cites_is_in_the_index() -> None:
    index = set(re.findall(r"^\| (\d{3,5}) \|", (HERE / "docs" / "rfc.md").read_text(), re.MULTILINE))
    cited = {number for path in CODE for number in re.findall(r"RFC (\d{3,5})", path.read_text())}
    assert cited - index == set()


def test_r1_to_r107_have_an_answer() -> None:
    text = (HERE / "docs" / "rfc.md").read_text()
    rows = dict(re.findall(r"^\| (R\d+) \| (Yes|Partial|No) \|", text, re.MULTILINE))
    numbers = {f"R{i}" for i in range(1, 108)} - {f"R{i}" for i in (67, 68, 69, 81, 82, 83, 84, 85, 86, 87, 88, 89)}
    assert set(rows) == numbers


def test_the_readme_names_every_setting() -> None:
    text = (HERE / "README.md").read_text()
    for kind in SETTINGS:
        for name in kind.model_fields:
            assert f"`ODMR_{name.upper()}`" in text, f"{kind.__name__}.{name}"


def test_links_of_the_documents_lead_somewhere() -> None:
    for path in [HERE / "README.md", HERE / "CONTRIBUTING.md", *sorted((HERE / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            assert "://" in target or (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_states_have_a_paragraph_each_and_the_picture_is_drawn_from_the_tables() -> None:
    text = (HERE / "docs" / "states.md").read_text()
    for state in RecipientState:
        assert f"**{state.value}**" in text
    from tests.checks.drawing import session_diagram

    assert session_diagram() in text, "run: python -m tests.checks.drawing"
    assert {state for moves in COMMANDS.values() for state in moves.values()} | {
        s for m in ANSWERS.values() for s in m.values()
    } <= set(State)


def test_the_subjects_are_documented() -> None:
    text = (HERE / "docs" / "architecture.md").read_text()
    for subject in (AUTH_VERIFY, AUTH_KEY, AUTH_MINT, "mail.queued."):
        assert subject in text


def test_versions_agree() -> None:
    assert f'version = "{VERSION}"' in (HERE / "pyproject.toml").read_text()
    assert f"## {VERSION}" in (HERE / "CHANGELOG.md").read_text()
    said = subprocess.run([sys.executable, "-m", "cli", "--version"], cwd=HERE, capture_output=True, text=True)
    assert said.stdout.strip() == VERSION


def test_requirements_are_pinned_with_hashes_and_name_no_host() -> None:
    for path in sorted((HERE / "requirements").glob("*.txt")):
        text = path.read_text()
        assert "://" not in text, path
        pins = re.findall(r"^[a-z0-9][^\n]*==[^\n]* \\\n    --hash=sha256:", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 0, path


def test_make_explains_the_project() -> None:
    said = subprocess.run(["make", "--no-print-directory"], cwd=HERE, capture_output=True, text=True).stdout
    for target in ("demo", "run", "test", "check", "show-1"):
        assert f"make {target}" in said


def test_nothing_names_a_path_of_some_machine() -> None:
    for path in TRACKED:
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".txt", "", ".dialogue"):
            text = path.read_text(errors="replace")
            assert "/work/" + "main" not in text, path
