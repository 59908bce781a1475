"""The ledger: durable, bounded, shared, and mended after a write that was cut. R107."""

from pathlib import Path

import pytest

from connector.ledger import RECORD, Ledger
from shared.protocol.memory import Claim


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "x.ledger"


def test_r107_what_was_taken_is_known_after_a_new_start(path: Path) -> None:
    ledger = Ledger(path)
    assert not ledger.has("1", "u@c.example")
    ledger.add([("1", ("u@c.example", "v@c.example"))])
    for one in (ledger, Ledger(path)):
        assert one.has("1", "u@c.example") and one.has("1", "v@c.example")
        assert not one.has("1", "w@c.example") and not one.has("2", "u@c.example")
        one.close()
    assert path.stat().st_mode & 0o777 == 0o600 and path.stat().st_size == 2 * RECORD


def test_two_connectors_of_one_account_know_the_same(path: Path) -> None:
    one, two = Ledger(path, kept=4), Ledger(path, kept=4)
    for i in range(30):  # each shortens the file while the other has it open
        (one if i % 2 else two).add([(str(i), ("u@c.example",))])
        assert one.has(str(i), "u@c.example") and two.has(str(i), "u@c.example")
    one.close()
    two.close()


def test_it_is_bounded_and_keeps_the_newest(path: Path) -> None:
    ledger = Ledger(path, kept=10)
    for i in range(100):
        ledger.add([(str(i), ("u@c.example",))])
        assert path.stat().st_size <= 21 * RECORD
        assert all(ledger.has(str(j), "u@c.example") for j in range(max(0, i - 9), i + 1))
    assert not ledger.has("0", "u@c.example")
    ledger.close()


@pytest.mark.parametrize("cut", [1, RECORD - 1])
def test_a_record_that_was_written_in_part_is_cut_off(path: Path, cut: int) -> None:
    ledger = Ledger(path)
    ledger.add([("1", ("u@c.example",))])
    with path.open("ab") as file:
        file.write(b"x" * cut)
    ledger.add([("2", ("u@c.example",))])  # the one who is at it mends it, too
    ledger.close()
    again = Ledger(path)
    assert again.has("1", "u@c.example") and again.has("2", "u@c.example") and path.stat().st_size == 2 * RECORD
    again.close()


def test_a_file_that_is_taken_away_is_begun_anew(path: Path) -> None:
    ledger = Ledger(path)
    ledger.add([("1", ("u@c.example",))])
    path.unlink()
    assert not ledger.has("1", "u@c.example")
    ledger.add([("2", ("u@c.example",))])
    assert ledger.has("2", "u@c.example")
    ledger.close()


def test_what_one_connection_has_in_hand_no_other_takes(path: Path) -> None:
    """Two of one process, too: a live session beside one that a person started."""
    one, two = Ledger(path), Ledger(path)
    assert one.claim("1", "u@c.example") is one.claim("1", "u@c.example") is Claim.OURS
    assert two.claim("1", "u@c.example") is Claim.ELSEWHERE and two.claim("1", "v@c.example") is Claim.OURS
    one.add([("1", ("u@c.example",))])
    assert two.claim("1", "u@c.example") is one.claim("1", "u@c.example") is Claim.TAKEN
    two.let_go("1", ("v@c.example",))
    assert one.claim("1", "v@c.example") is Claim.OURS
    one.close()
    assert two.claim("1", "v@c.example") is Claim.OURS
    two.close()
