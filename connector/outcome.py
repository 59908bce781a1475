"""What one call to the provider came to, and the exit code that says so. Distinct, so that a script can tell them apart."""

import enum
from dataclasses import dataclass
from typing import Final

from shared.protocol.reply import Reply


class Exit(enum.IntEnum):
    """Exit codes; docs/customer.md lists them. No mail is success."""

    OK = 0
    USAGE = 64  # EX_USAGE of sysexits.h: the command line or a file that it names is wrong
    NOT_YOURS = 10  # 450: a domain is not yours, or you ask too often
    PROVIDER_BUSY = 11  # 451: the provider cannot say now
    AUTH_BUSY = 12  # 454: nobody can check the secret now
    AUTH_WRONG = 13  # 535: wrong name or secret; asking again is no use
    NOT_ODMR = 14  # 500 to 504: this is no ODMR port, or it offers nothing that we may use
    AUTH_NEEDED = 15  # 530
    GONE = 16  # 421, or the provider cannot be reached, or the line broke before the turn
    TLS_FAILED = 17  # no TLS, or a certificate that does not prove the name
    LOCAL_DOWN = 18  # the local mail server does not greet; ATRN was not said
    CUT = 19  # the line broke after the turn; what was not answered comes again
    OTHER = 20


_BY_CODE: Final = {
    450: Exit.NOT_YOURS,
    451: Exit.PROVIDER_BUSY,
    454: Exit.AUTH_BUSY,
    453: Exit.OK,
    535: Exit.AUTH_WRONG,
    530: Exit.AUTH_NEEDED,
    421: Exit.GONE,
    500: Exit.NOT_ODMR,
    501: Exit.NOT_ODMR,
    502: Exit.NOT_ODMR,
    503: Exit.NOT_ODMR,
    504: Exit.NOT_ODMR,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. `to_provider` and `to_local` count octets after the turn.

    `batch`: the local server took mail and had enough for one connection; so often it said 250. More may wait. `taken`:
    messages that it took, as far as is known. `ended_by_server`: it broke off. `was_live`: the session would have stayed.
    """

    exit: Exit
    text: str
    to_provider: int = 0
    to_local: int = 0
    batch: int = 0
    taken: int = 0
    ended_by_server: bool = False
    was_live: bool = False


def of_refusal(step: str, reply: Reply) -> Outcome:
    """From the provider's reply that ended the session before the turn."""
    if reply.code == 453:
        return Outcome(Exit.OK, "no mail")
    return Outcome(_BY_CODE.get(reply.code, Exit.OTHER), f"{step}: {reply}")
