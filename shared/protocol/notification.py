"""The DSN parameters of MAIL and RCPT: read, checked, and put in the form in which they are kept and passed on. RFC 3461 4.

They travel as one text in wire form, such as `NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@b.example`, so that what a customer's
server gets is what the sender said (RFC 3461 5.2.1).
"""

import re
from collections.abc import Mapping
from typing import Final

from shared.protocol.grammar import BadSyntax

#: Octets. RFC 3461 4.2 and 4.4.
MAX_ORCPT: Final = 500
MAX_ENVID: Final = 100
#: What they add to a command line. RFC 3461 4.5.
OF_MAIL: Final = ("RET", "ENVID")
OF_RCPT: Final = ("NOTIFY", "ORCPT")


class BadParameters(BadSyntax):
    """A DSN parameter does not have the form of RFC 3461 4."""


_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")
_ORCPT: Final = re.compile(r"([A-Za-z0-9-]{1,32});(\S+)\Z")
_EVENTS: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})


def of_mail(parameters: Mapping[str, str]) -> str:
    """RET and ENVID in wire form, or "". Raises BadParameters."""
    if (ret := parameters.get("RET")) is not None and ret.upper() not in ("FULL", "HDRS"):
        raise BadParameters("RET=FULL or RET=HDRS")
    envid = parameters.get("ENVID")
    if envid is not None and not (0 < len(envid) <= MAX_ENVID and _XTEXT.match(envid)):
        raise BadParameters("ENVID=xtext")
    return _wire(parameters, OF_MAIL)


def of_rcpt(parameters: Mapping[str, str]) -> str:
    """NOTIFY and ORCPT in wire form, or "". Raises BadParameters."""
    notify = parameters.get("NOTIFY")
    if notify is not None and notify.upper() != "NEVER":
        words = notify.upper().split(",")
        if not set(words) <= _EVENTS or len(set(words)) != len(words):
            raise BadParameters("NOTIFY=NEVER or some of SUCCESS, FAILURE, DELAY")
    orcpt = parameters.get("ORCPT")
    if orcpt is not None:
        found = _ORCPT.match(orcpt)
        if not found or len(orcpt.encode()) > MAX_ORCPT or (found[2].isascii() and not _is_address(found[1], found[2])):
            raise BadParameters("ORCPT=address-type;xtext")
    return _wire(parameters, OF_RCPT)


def wants(event: str, parameters: str) -> bool:
    """Whether the sender wants to hear of SUCCESS, FAILURE or DELAY. RFC 3461 4.1: without NOTIFY, of the latter two."""
    asked = value_of("NOTIFY", parameters).upper()
    return event in asked.split(",") if asked else event != "SUCCESS"


def value_of(name: str, parameters: str) -> str:
    """The value of one parameter in a text that this module made, or ""."""
    return next((word.partition("=")[2] for word in parameters.split() if word.startswith(f"{name}=")), "")


def decode_xtext(text: str) -> str:
    """What an xtext stands for (RFC 3461 4); octets that would break a header field become question marks."""
    plain = re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text)
    return "".join(char if char.isprintable() else "?" for char in plain)


def _is_address(kind: str, text: str) -> bool:
    """RFC 6533 3: the type utf-8 has an escape of its own, `\\x{...}`, made of characters that xtext allows too."""
    return bool(_XTEXT.match(text)) or (kind.lower() == "utf-8" and text.isprintable())


def _wire(parameters: Mapping[str, str], names: tuple[str, ...]) -> str:
    return " ".join(f"{name}={parameters[name]}" for name in names if name in parameters)
