"""What the connector is told, on its command line or in a TOML file of the same words. The command line wins.

The secret comes from a file of its own, never from the command line or the configuration.
"""

import argparse
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from connector.deliver import Address, BadAddress, Deliver, parse_address, parse_deliver
from connector.ledger import Ledger
from shared.protocol.grammar import is_domain
from shared.protocol.sasl.client import PREFERENCE

#: RFC 2645 4.
ODMR_PORT: Final = 366
TLS: Final = ("starttls", "implicit", "none")
COMMANDS: Final = ("once", "run", "check")
MODES: Final = ("relay", "pipe")


class BadSetting(Exception):
    """One sentence that says what is wrong and what to write."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One account at one provider, and the local server that its mail goes to."""

    provider: Address
    deliver: Deliver
    user: str = ""
    secret: bytes = field(default=b"", repr=False)
    tls: str = "starttls"
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    mechanisms: tuple[str, ...] = PREFERENCE
    domains: tuple[str, ...] = ()
    hostname: str = "localhost"
    command: str = "once"
    every: float = 300.0
    is_live: bool = False
    metrics_file: Path | None = None
    mode: str = "relay"
    #: Where the relay remembers what was taken; None where nobody does.
    ledger: Path | None = None


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadSetting(f"{message}; see --help")


def parser() -> argparse.ArgumentParser:
    """The command line. What is not said there has no value, so that the file's stands."""
    words = _Words(
        prog="odmr-connector",
        description="Calls an ODMR provider (RFC 2645), and hands the turned connection to a local SMTP server.",
        argument_default=argparse.SUPPRESS,
    )
    add = words.add_argument
    add("command", choices=COMMANDS, help="once: one call; run: call again and again; check: log in, take no mail")
    add("--config", metavar="FILE", help='TOML with these words, such as provider = "odmr.example"')
    add("--provider", metavar="HOST[:PORT]", help=f"the provider; port {ODMR_PORT} if not said")
    add("--tls", metavar="|".join(TLS), help="starttls if not said; none sends mail and answers in clear")
    add("--user", help="the name of the credential")
    add("--secret-file", metavar="FILE", help="a file that holds the secret and nothing else")
    add("--certificate", metavar="FILE", help="our certificate (PEM), to prove who we are with EXTERNAL")
    add("--key", metavar="FILE", help="its key (PEM)")
    add("--mechanism", action="append", metavar="NAME", help="use this mechanism only; may be repeated")
    add("--domain", action="append", metavar="NAME", help="ask for this domain only; may be repeated")
    add("--deliver", metavar="HOST:PORT|unix:PATH|exec:COMMAND", help="the local SMTP server")
    add("--ca-file", metavar="FILE", help="PEM of the CA that signs the provider's certificate")
    add("--hostname", help="our name in EHLO; localhost if not said")
    add("--live", action="store_true", help="run: stay on the line, so that mail comes when it arrives")
    add("--every", metavar="SECONDS", help="run: between two calls; 300 if not said")
    add("--mode", metavar="|".join(MODES), help="relay if not said; pipe passes octets on and knows no repeats")
    add(
        "--ledger",
        metavar="FILE|none",
        help="relay: what was taken, so that no repeat comes twice; in your home if not said",
    )
    add("--metrics-file", metavar="FILE", help="figures in Prometheus' text form, written after each call")
    return words


def read(arguments: Sequence[str]) -> Settings:
    """The settings. Raises BadSetting; `--help` prints and exits."""
    said = vars(parser().parse_args(arguments))
    values = {**_from_file(said.pop("config", None)), **said}
    return _settings(values)


#: Words of the file; a list may stand where the command line repeats a word.
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "provider": (str,), "tls": (str,), "user": (str,), "secret_file": (str,), "certificate": (str,), "key": (str,),
    "mechanism": (list,), "domain": (list,), "deliver": (str,), "ca_file": (str,), "hostname": (str,), "live": (bool,),
    "every": (int, float), "metrics_file": (str,), "mode": (str,), "ledger": (str,),
}  # fmt: skip


def _from_file(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    try:
        values = tomllib.loads(Path(name).read_text())
    except OSError as error:
        raise BadSetting(f"--config {name} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"--config {name} is no TOML: {error}") from None
    for word, value in values.items():
        if word not in _KINDS:
            raise BadSetting(f"--config {name} has {word!r}, which is no setting; see --help")
        wrong = not isinstance(value, _KINDS[word]) or (isinstance(value, bool) and word != "live")
        if wrong or (isinstance(value, list) and not all(isinstance(one, str) for one in value)):
            raise BadSetting(f"--config {name} has {word} = {value!r}; write {_example(word)}")
    return values


def _example(word: str) -> str:
    examples = {list: '["..."]', bool: "true or false", int: "seconds", str: '"..."'}
    return f"{word} = {examples[_KINDS[word][0]]}"


def _settings(values: Mapping[str, Any]) -> Settings:
    for word in ("provider", "deliver"):
        if word not in values:
            raise BadSetting(f"--{word} is not set; say it, or write it into the --config file")
    certificate, key = _file(values, "certificate"), _file(values, "key")
    if (certificate is None) != (key is None):
        raise BadSetting("--certificate and --key go together")
    secret = _secret(values)
    if not secret and certificate is None:
        raise BadSetting("--secret-file is not set; without a secret or a --certificate nobody can log in")
    if secret and not values.get("user"):
        raise BadSetting("--user is not set; it is the name of the credential")
    tls, command = values.get("tls", "starttls"), values["command"]
    if tls not in TLS:
        raise BadSetting(f"--tls {tls!r} is none of {', '.join(TLS)}")
    if values.get("live") and command != "run":
        raise BadSetting("--live needs the command run: a session that stays never comes to an end")
    mode = values.get("mode", MODES[0])
    if mode not in MODES:
        raise BadSetting(f"--mode {mode!r} is none of {', '.join(MODES)}")
    return Settings(
        provider=_address(values["provider"]),
        deliver=_deliver(values["deliver"]),
        user=values.get("user", ""),
        secret=secret,
        tls=tls,
        ca_file=_file(values, "ca_file"),
        certificate=certificate,
        key=key,
        mechanisms=_mechanisms(values),
        domains=_domains(values),
        hostname=_hostname(values),
        command=command,
        every=_every(values),
        is_live=values.get("live", False),
        metrics_file=Path(values["metrics_file"]) if "metrics_file" in values else None,
        mode=mode,
        ledger=_ledger(values, mode),
    )


def _address(text: str) -> Address:
    try:
        return parse_address(text, ODMR_PORT)
    except BadAddress as error:
        raise BadSetting(f"--provider {error}") from None


def _deliver(text: str) -> Deliver:
    try:
        return parse_deliver(text)
    except BadAddress as error:
        raise BadSetting(f"--deliver {error}") from None


def _file(values: Mapping[str, Any], word: str) -> Path | None:
    if word not in values:
        return None
    path = Path(values[word])
    if not path.is_file():
        raise BadSetting(f"--{word.replace('_', '-')} {path} is not there")
    return path


def _ledger(values: Mapping[str, Any], mode: str) -> Path | None:
    """Where it is, and that it can be written: a repeat that is not remembered would be found out too late."""
    word = values.get("ledger", "")
    if mode == "pipe" or word == "none" or values["command"] == "check":
        if mode == "pipe" and word not in ("", "none"):
            raise BadSetting("--ledger needs --mode relay: a pipe does not know what was taken")
        return None
    try:
        account = re.sub(r"[^A-Za-z0-9.@-]", "_", f"{values.get('user', '') or 'certificate'}@{values['provider']}")
        path = Path(word) if word else Path.home() / ".local" / "state" / "odmr-connector" / f"{account}.ledger"
        Ledger(path).close()
    except (OSError, RuntimeError) as error:
        raise BadSetting(
            f"--ledger {word or 'in your home'} cannot be written: {error}; name a file, or none"
        ) from None
    return path


def _secret(values: Mapping[str, Any]) -> bytes:
    if "secret_file" not in values:
        return b""
    path = Path(values["secret_file"])
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise BadSetting(f"--secret-file {path} cannot be read: {error.strerror}") from None
    if not secret:
        raise BadSetting(f"--secret-file {path} is empty; put the secret into it")
    return secret


def _mechanisms(values: Mapping[str, Any]) -> tuple[str, ...]:
    named = tuple(name.upper() for name in values.get("mechanism", PREFERENCE))
    for name in named:
        if name not in PREFERENCE:
            raise BadSetting(f"--mechanism {name!r} is none of {', '.join(PREFERENCE)}")
    return named


def _domains(values: Mapping[str, Any]) -> tuple[str, ...]:
    named = tuple(values.get("domain", ()))
    for name in named:
        if not is_domain(name):
            raise BadSetting(f"--domain {name!r} is no domain name; write it in ASCII, such as example.org")
    return named


def _hostname(values: Mapping[str, Any]) -> str:
    name = values.get("hostname", "localhost")
    if not is_domain(name):
        raise BadSetting(f"--hostname {name!r} is no name for EHLO; write it in ASCII, such as mail.example.org")
    return str(name)


def _every(values: Mapping[str, Any]) -> float:
    try:
        every = float(values.get("every", 300.0))
    except ValueError:
        every = 0.0
    if not 1 <= every <= 86_400:
        raise BadSetting("--every must be a number of seconds from 1 to 86400")
    return every
