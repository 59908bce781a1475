"""Recipients that were too many for one transaction, though the server took its message for others. RFC 5321 4.5.3.1.10."""

from typing import Final

from shared.protocol.events import Outcome, Stage

#: "Too many recipients", in the words of the RFC and of older servers.
_TOO_MANY: Final = frozenset({452, 552})


def surplus(outcomes: tuple[Outcome, ...]) -> frozenset[int]:
    """Where they stand: they go in another transaction at once."""
    if not any(x.stage is Stage.DOT and x.reply is not None and x.reply.is_positive for x in outcomes):
        return frozenset()
    return frozenset(
        i for i, x in enumerate(outcomes) if x.stage is Stage.RCPT and x.reply is not None and x.reply.code in _TOO_MANY
    )
