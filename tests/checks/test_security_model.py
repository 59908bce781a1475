"""SECURITY.md: every test that the threat model names is there."""

import re

from localserve.provider import HERE


def test_every_test_that_the_threat_model_names_is_there() -> None:
    text = (HERE / "SECURITY.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)
    named = [name for words in rows for name in re.findall(r"`(tests/[\w/.]+)`", words)]
    assert len(named) > 30
    assert not [name for name in named if not (HERE / name).is_file()]
    assert all("`" in words for words in rows if words not in ("shown by", "---"))
