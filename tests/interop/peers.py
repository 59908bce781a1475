"""Software that nobody here wrote. A test that needs one that is missing is skipped with a sentence."""

import shutil
from pathlib import Path

import pytest

from localserve.provider import HERE
from shared.config import environment

#: Where `make peers` unpacks Postfix and Exim, so that no MTA is installed.
POSTFIX = HERE / ".tools" / "postfix"
EXIM = HERE / ".tools" / "exim"
#: A root of its own with an Exim that knows ODMR, which came after Debian 12.
EXIM_WITH_ATRN = HERE / ".tools" / "exim-atrn"


def program(name: str) -> str:
    """Its path; skips the test when it is not there."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return found


def smtp_source() -> tuple[str, dict[str, str]]:
    """Postfix's load generator and the environment in which it finds its libraries."""
    for folder in (Path("/"), POSTFIX):
        binary = folder / "usr" / "sbin" / "smtp-source"
        if binary.is_file():
            return str(binary), {**environment(), "LD_LIBRARY_PATH": str(folder / "usr" / "lib" / "postfix")}
    pytest.skip("smtp-source is not there: apt-get install postfix, or run make peers, which unpacks it")
