"""Commands and addresses, parsed once, at the edge. RFC 5321 4.1.2, RFC 2645 5.2.1, RFC 4954 4.

After this module nothing splits a command or an address again. What does not fit raises BadSyntax.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Final

#: Octets. RFC 5321 4.5.3.1.1 to 4.5.3.1.3.
MAX_LOCAL_PART: Final = 64
MAX_DOMAIN: Final = 255
MAX_PATH: Final = 256
#: Names in one ATRN. A customer with more says ATRN alone; the line limit ends at about 1,000 of them anyway.
MAX_ATRN_DOMAINS: Final = 1_000

_VERB: Final = re.compile(rb"([A-Za-z]+)(?: +(.*?) *)?\Z", re.DOTALL)
#: RFC 6531 3.3: what an address may hold beyond ASCII. Controls, separators of lines, and what turns the direction of
#: writing or has no width are left out: they would only serve to deceive who reads a log.
_WIDE: Final = r"\u00a1-\u1fff\u2070-\ud7ff\uf900-\ufefe\uff00-\ufff8\U00010000-\U000dffff"
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]*\Z")
_PRINTABLE_UTF8: Final = re.compile(rf"[\x20-\x7e{_WIDE}]*\Z")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_WIDE_LABEL: Final = rf"[A-Za-z0-9{_WIDE}](?:[A-Za-z0-9{_WIDE}-]*[A-Za-z0-9{_WIDE}])?"
_WIDE_DOMAIN: Final = rf"{_WIDE_LABEL}(?:\.{_WIDE_LABEL})*"
_ATEXT: Final = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_WIDE}-]+"
_DOT_STRING: Final = rf"{_ATEXT}(?:\.{_ATEXT})*"
_QUOTED: Final = rf'"(?:[\x20\x21\x23-\x5b\x5d-\x7e{_WIDE}]|\\[\x20-\x7e])*"'
_ROUTE: Final = rf"(?:@{_LABEL}(?:\.{_LABEL})*(?:,@{_LABEL}(?:\.{_LABEL})*)*:)?"
_PATH: Final = re.compile(
    rf"<{_ROUTE}(?P<local>{_DOT_STRING}|{_QUOTED})@(?P<domain>{_WIDE_DOMAIN}|\[[A-Za-z0-9.:]+\])>(?P<rest>.*)\Z"
)
_POSTMASTER: Final = re.compile(r"<postmaster>(?P<rest>.*)\Z", re.IGNORECASE)
_PARAMETER: Final = re.compile(rf"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e{_WIDE}]+))?\Z")


class BadSyntax(Exception):
    """The words do not follow the grammar; the text says which, for the log."""


@dataclass(frozen=True, slots=True)
class Command:
    """A verb in upper case and its argument as it came, without the spaces around it."""

    verb: str
    argument: str


@dataclass(frozen=True, slots=True)
class Path:
    """A forward- or reverse-path. The null reverse-path has neither part; `<postmaster>` has no domain."""

    local_part: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local_part}@{self.domain}" if self.domain else self.local_part

    @property
    def is_ascii(self) -> bool:
        """Whether a server without SMTPUTF8 can be told it."""
        return str(self).isascii()


@dataclass(frozen=True, slots=True)
class PathCommand:
    """The argument of MAIL or RCPT. A parameter without a value has the value ""."""

    path: Path
    parameters: dict[str, str] = field(default_factory=dict)


def parse_command(line: bytes, *, may_be_utf8: bool = False) -> Command:
    """One command line without its end. Raises BadSyntax; controls never pass, nor octets over 0x7e but those of RFC 6531."""
    found = _VERB.match(line)
    if not found:
        raise BadSyntax("no verb")
    try:
        argument = (found[2] or b"").decode("utf-8" if may_be_utf8 else "latin-1")
    except UnicodeDecodeError:
        raise BadSyntax("octets that are no UTF-8") from None
    if not (_PRINTABLE_UTF8 if may_be_utf8 else _PRINTABLE).match(argument):
        raise BadSyntax("octets that are not printable")
    return Command(found[1].decode("ascii").upper(), argument)


def is_domain(name: str) -> bool:
    """Letters, digits, hyphens and dots in the right places, each label within 63 octets (RFC 1035 2.3.4)."""
    return bool(_DOMAIN.match(name)) and len(name) <= MAX_DOMAIN and all(len(x) <= 63 for x in name.split("."))


def parse_atrn(argument: str) -> tuple[str, ...]:
    """The domains of ATRN in lower case, each once, in order; empty for all. RFC 2645 5.2.1.

    Spaces around commas and a trailing comma are tolerated, as Exim does; an empty name in the middle is not. A single
    label is passed on: fetchmail sends its host name, and the answer to that is 450, not 501.
    """
    if not argument:
        return ()
    names = [name.strip() for name in argument.split(",")]
    if len(names) > 1 and not names[-1]:
        names.pop()
    if len(names) > MAX_ATRN_DOMAINS:
        raise BadSyntax("too many domains")
    bad = [name for name in names if not is_domain(name)]
    if bad:
        raise BadSyntax(f"not a domain: {bad[0][:80]!r}")
    return tuple(dict.fromkeys(name.lower() for name in names))


def parse_mail(argument: str) -> PathCommand:
    """`FROM:<reverse-path> parameters`. Raises BadSyntax."""
    rest = _after_keyword(argument, "FROM:")
    if rest.startswith("<>"):
        return PathCommand(Path("", ""), _parse_parameters(rest[2:]))
    return _parse_path(rest)


def parse_rcpt(argument: str) -> PathCommand:
    """`TO:<forward-path> parameters`; a source route is read and dropped (RFC 5321 F.2). Raises BadSyntax."""
    rest = _after_keyword(argument, "TO:")
    if found := _POSTMASTER.match(rest):
        return PathCommand(Path("postmaster", ""), _parse_parameters(found["rest"]))
    return _parse_path(rest)


def _after_keyword(argument: str, keyword: str) -> str:
    if argument[: len(keyword)].upper() != keyword:
        raise BadSyntax(f"no {keyword}")
    return argument[len(keyword) :].lstrip(" ")  # RFC 5321 3.3 forbids the space, senders send it


def _parse_path(text: str) -> PathCommand:
    found = _PATH.match(text)
    if not found:
        raise BadSyntax("no path in angle brackets")
    local_part, domain = found["local"], found["domain"]
    lengths = len(local_part.encode()), len(domain.encode())  # RFC 6531 3.3: limits are in octets
    if lengths[0] > MAX_LOCAL_PART or lengths[1] > MAX_DOMAIN or sum(lengths) + 1 > MAX_PATH - 2:
        raise BadSyntax("path too long")
    if domain.isascii() and not domain.startswith("[") and not is_domain(domain):
        raise BadSyntax("no domain")
    return PathCommand(Path(local_part, domain), _parse_parameters(found["rest"]))


def _parse_parameters(text: str) -> dict[str, str]:
    if text and not text.startswith(" "):
        raise BadSyntax("words behind the path")
    parameters: dict[str, str] = {}
    for word in text.split():
        found = _PARAMETER.match(word)
        if not found or found[1].upper() in parameters:
            raise BadSyntax("bad parameter")
        parameters[found[1].upper()] = found[2] or ""
    return parameters


def parse_auth(argument: str) -> tuple[str, str | None]:
    """Mechanism in upper case and the initial response, still in base64, or None. RFC 4954 4. Raises BadSyntax."""
    words = argument.split(" ")
    if len(words) > 2 or not re.fullmatch(r"[A-Za-z0-9_-]{1,20}", words[0]):
        raise BadSyntax("AUTH mechanism [initial-response]")
    return words[0].upper(), words[1] if len(words) == 2 else None


def decode_base64(text: str) -> bytes:
    """RFC 4954 4: no stray character, no inner `=`; a lone `=` stands for the empty string. Raises BadSyntax."""
    if text == "=":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadSyntax("base64") from None


def encode_base64(data: bytes) -> str:
    """The other way round."""
    return base64.b64encode(data).decode("ascii")
