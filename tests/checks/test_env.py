"""`make env`: a .env that docker-compose.yml runs on, with secrets of its own, never written over one that is there."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from localserve.compose import Differs, hand_out
from localserve.layout import new_seal_key
from localserve.provider import HERE

SECRETS = ("ODMR_SEAL_KEY", "ODMR_API_SEAL_KEY", "ODMR_OPERATOR_KEY", "GRAFANA_PASSWORD")


def _make(target: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "tools/env.py", str(target)], cwd=HERE, capture_output=True, text=True)
    return done.returncode, done.stdout


def _values(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if line and not line.startswith("#"))


def test_each_has_secrets_of_its_own_and_only_its_owner_reads_them(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    assert _make(first)[0] == _make(second)[0] == 0
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    one, other = _values(first), _values(second)
    assert all(len(one[name]) > 20 and one[name] != other[name] for name in SECRETS)
    assert {name: one[name] for name in one if name not in SECRETS} == {
        name: value for name, value in _values(HERE / ".env.example").items() if name not in SECRETS
    }
    assert Path(HERE / ".gitignore").read_text().splitlines().count(".env") == 1


def test_one_that_is_there_stays(tmp_path: Path) -> None:
    target = tmp_path / ".env"
    target.write_text("mine")
    code, said = _make(target)
    assert (code, target.read_text()) == (1, "mine") and said.startswith(
        f"{target} is there already: its secrets stay."
    )


def test_each_name_that_compose_asks_for_can_be_set_in_it() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (HERE / "docker-compose.yml").read_text()))
    images = {name for name in asked if name.endswith("_IMAGE")}
    assert asked - images == _values(HERE / ".env.example").keys()


def test_what_is_told_is_taken_and_another_seal_key_is_refused(tmp_path: Path) -> None:
    told = {"ODMR_SEAL_KEY": new_seal_key(), "ODMR_API_SEAL_KEY": "", "ODMR_OPERATOR_KEY": "odmr_operator_x"}
    hand_out(tmp_path, "mx.example", told)
    assert (tmp_path / "auth" / "seal_key").read_text() == told["ODMR_SEAL_KEY"]
    assert (tmp_path / "api" / "operator_key").read_text() == "odmr_operator_x"
    made = (tmp_path / "api" / "api_seal_key").read_text()
    hand_out(tmp_path, "mx.example", told)
    hand_out(tmp_path, "mx.example", {})
    assert (tmp_path / "auth" / "seal_key").read_text() == told["ODMR_SEAL_KEY"]
    assert (tmp_path / "api" / "api_seal_key").read_text() == made
    assert stat.S_IMODE((tmp_path / "postgres" / "pgpass").stat().st_mode) == 0o600
    with pytest.raises(Differs, match="ODMR_SEAL_KEY is another one than secrets here are sealed under"):
        hand_out(tmp_path, "mx.example", {"ODMR_SEAL_KEY": new_seal_key()})
