"""What a metric has grown by: for tests of what is counted."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.metrics import REGISTRY


class Growth:
    """A series' value now, less the one at the beginning."""

    def __init__(self, name: str, **labels: str) -> None:
        self._name = name
        self._labels = labels
        self._before = self._now()

    def _now(self) -> float:
        return REGISTRY.get_sample_value(self._name, self._labels) or 0.0

    @property
    def value(self) -> float:
        """By how much."""
        return self._now() - self._before


@contextmanager
def grows(by: float, name: str, **labels: str) -> Iterator[None]:
    """Fails unless the series grows by that much while the body runs."""
    growth = Growth(name, **labels)
    yield
    assert growth.value == by, f"{name} {labels} grew by {growth.value}"
