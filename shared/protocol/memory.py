"""What the relay asks of a ledger (R107)."""

import enum
from collections.abc import Sequence
from typing import Protocol


class Claim(enum.Enum):
    """What the ledger says to one recipient of a message that the provider offers."""

    OURS = enum.auto()  # nobody has it; until it is let go or remembered it is this session's alone
    TAKEN = enum.auto()
    ELSEWHERE = enum.auto()  # another connection of the account is at it: whether it is taken will be known


class Memory(Protocol):
    """What was taken before. A provider that was stopped past its lease may offer one message on two lines at once."""

    def claim(self, message_id: str, forward_path: str) -> Claim:
        """Asks for one recipient."""

    def let_go(self, message_id: str, forward_paths: Sequence[str]) -> None:
        """The local server did not take them."""


class NoMemory:
    """Without a ledger: whatever the provider offers is taken."""

    def claim(self, _message_id: str, _forward_path: str) -> Claim:
        """Always ours."""
        return Claim.OURS

    def let_go(self, _message_id: str, _forward_paths: Sequence[str]) -> None:
        """Nothing was held."""
