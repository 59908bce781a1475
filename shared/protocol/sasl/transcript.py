"""What has been said so far in one AUTH exchange. The transcript travels, so that whoever verifies remembers nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exchange:
    """One challenge of ours and the response to it, both decoded."""

    challenge: bytes
    response: bytes

    def __repr__(self) -> str:
        return "Exchange(...)"  # a PLAIN response is a password


@dataclass(frozen=True, slots=True)
class Transcript:
    """A mechanism's steps. `initial` is None where AUTH had no initial response; b"" is an empty one (RFC 4954 4)."""

    mechanism: str
    initial: bytes | None = None
    exchanges: tuple[Exchange, ...] = ()

    def __repr__(self) -> str:
        return f"Transcript({self.mechanism}, {len(self.exchanges)} exchanges)"

    @property
    def responses(self) -> tuple[bytes, ...]:
        """What the client has said, the initial response first where there was one."""
        first = () if self.initial is None else (self.initial,)
        return first + tuple(exchange.response for exchange in self.exchanges)

    @property
    def challenges(self) -> tuple[bytes, ...]:
        """What stood before each response; the initial response had none."""
        first = () if self.initial is None else (b"",)
        return first + tuple(exchange.challenge for exchange in self.exchanges)

    def followed_by(self, challenge: bytes, response: bytes) -> "Transcript":
        """The same with one step more."""
        return Transcript(self.mechanism, self.initial, (*self.exchanges, Exchange(challenge, response)))
