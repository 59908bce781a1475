"""The customer's side of the mechanisms, and which of those offered it takes. RFC 2645 5.1.2, RFC 4954 14.

A mechanism is asked for its initial response, then for a response to each challenge, and in the end whether the server has
proved what it had to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from shared.protocol.sasl import cram_md5, external, plain, scram

#: Best first: both sides prove themselves; a key that never travels; a digest; the secret itself.
PREFERENCE: Final = (scram.NAME, external.NAME, cram_md5.NAME, plain.NAME)


class ClientMechanism(Protocol):
    """One exchange; used once."""

    def initial(self) -> bytes | None:
        """The initial response, or None where the server speaks first."""
        ...

    def respond(self, challenge: bytes) -> bytes:
        """The response to a challenge. Raises scram.BadChallenge when the server is not who it should be."""
        ...

    @property
    def is_satisfied(self) -> bool:
        """Whether a 235 now is to be believed."""
        ...


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are. `nonce` is fresh for each connection; `mechanisms` are those that may be used at all."""

    authcid: str
    secret: bytes = field(default=b"", repr=False)
    nonce: str = ""
    has_certificate: bool = False
    mechanisms: tuple[str, ...] = PREFERENCE

    def may_use(self, mechanism: str, *, under_tls: bool) -> bool:
        """Whether we have what the mechanism needs, and the line is fit for it."""
        if mechanism not in self.mechanisms:
            return False
        if mechanism == external.NAME:
            return self.has_certificate and under_tls
        return bool(self.secret) and (under_tls or mechanism != plain.NAME)

    def choose(self, offered: Sequence[str], *, under_tls: bool) -> str | None:
        """The best mechanism of those offered, or None."""
        usable = (name for name in PREFERENCE if name in offered and self.may_use(name, under_tls=under_tls))
        return next(usable, None)

    def begin(self, mechanism: str) -> ClientMechanism:
        """An exchange with a mechanism that `choose` gave."""
        match mechanism:
            case scram.NAME:
                return _Scram(self)
            case cram_md5.NAME:
                return _CramMd5(self)
            case plain.NAME:
                return _OneResponse(plain.respond(self.authcid, self.secret))
            case external.NAME:
                return _OneResponse(b"")
            case _:
                raise ValueError(f"no mechanism of ours: {mechanism}")


class _OneResponse:
    """PLAIN and EXTERNAL."""

    is_satisfied = True

    def __init__(self, response: bytes) -> None:
        self._response = response

    def initial(self) -> bytes | None:
        return self._response

    def respond(self, challenge: bytes) -> bytes:
        raise scram.BadChallenge(f"{len(challenge)} octets where no challenge belongs")


class _CramMd5:
    is_satisfied = True

    def __init__(self, login: Login) -> None:
        self._login = login

    def initial(self) -> bytes | None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        return cram_md5.respond(self._login.authcid, self._login.secret, challenge)


class _Scram:
    def __init__(self, login: Login) -> None:
        self._client = scram.Client(login.authcid, login.secret, login.nonce)
        self._has_answered = False
        self.is_satisfied = False

    def initial(self) -> bytes | None:
        return self._client.first()

    def respond(self, challenge: bytes) -> bytes:
        if not self._has_answered:
            self._has_answered = True
            return self._client.final(challenge)
        self._client.verify(challenge)
        self.is_satisfied = True
        return b""
