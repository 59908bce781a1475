"""The defects that `make chaos` seeds can be seeded: the code reads as each of them says."""

import pytest

from localserve.provider import HERE
from tests.chaos.defects import DEFECTS, Defect


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.what)
def test_the_code_reads_as_the_defect_says(defect: Defect) -> None:
    text = (HERE / defect.file).read_text()
    assert text.count(defect.right) == 1
    compile(text.replace(defect.right, defect.wrong), defect.file, "exec")
