"""Each way a call can end is counted, in a file that a monitor reads. R99."""

from pathlib import Path

from connector.figures import Figures
from connector.outcome import Exit, Outcome


def test_r99_every_exit_is_a_figure_of_its_own_and_counts_on_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "odmr.prom"
    for exit in Exit:
        Figures(path).count(Outcome(exit, "x", to_local=10))
    figures = Figures(path)
    figures.count(Outcome(Exit.CUT, "x", to_local=5))
    text = path.read_text()
    for exit in Exit:
        assert f'odmr_connector_calls_total{{exit="{exit.name.lower()}"}} {2 if exit is Exit.CUT else 1}\n' in text
    assert f"odmr_connector_octets_total {10 * len(Exit) + 5}\n" in text
    assert f"odmr_connector_last_exit {int(Exit.CUT)}\n" in text
    assert [file.name for file in tmp_path.iterdir()] == ["odmr.prom"]


def test_a_file_of_something_else_counts_from_nothing(tmp_path: Path) -> None:
    path = tmp_path / "odmr.prom"
    path.write_bytes(b"\xff nonsense 3\n")
    Figures(path).count(Outcome(Exit.OK, "x"))
    assert 'odmr_connector_calls_total{exit="ok"} 1\n' in path.read_text()
    Figures(tmp_path / "nowhere" / "odmr.prom").count(Outcome(Exit.OK, "x"))
    Figures(None).count(Outcome(Exit.OK, "x"))
