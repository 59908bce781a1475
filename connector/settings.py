"""What the connector is told, on its command line. The secret comes from a file, never from the command line."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shared.protocol.grammar import is_domain

#: RFC 2645 4.
ODMR_PORT: Final = 366


class BadSetting(Exception):
    """One sentence that says what is wrong and what to write."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """One account at one provider, and the local server that its mail goes to."""

    provider: Address
    tls: str
    user: str
    secret: bytes = field(repr=False)
    domains: tuple[str, ...]
    deliver: Address
    ca_file: Path | None
    hostname: str
    every: float | None
    is_live: bool = False


def _address(text: str, name: str, default_port: int | None) -> Address:
    host, found, port = text.rpartition(":")
    if not found or "]" in port:
        host, port = text, str(default_port or "")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadSetting(f"{name} {text!r} is no address; write host:port, such as 127.0.0.1:25")
    return Address(host.strip("[]"), int(port))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(
        prog="odmr-connector",
        description="Calls an ODMR provider (RFC 2645), and hands the turned connection to a local SMTP server.",
    )
    words.add_argument("command", choices=["once", "run"], help="once: one call; run: call again and again")
    words.add_argument(
        "--provider", required=True, metavar="HOST[:PORT]", help=f"the provider; port {ODMR_PORT} if not said"
    )
    words.add_argument("--tls", choices=["starttls", "implicit", "none"], default="starttls")
    words.add_argument("--user", required=True, help="the name of the credential")
    words.add_argument("--secret-file", required=True, type=Path, help="a file that holds the secret and nothing else")
    words.add_argument("--domain", action="append", default=[], help="ask for this domain only; may be repeated")
    words.add_argument("--deliver", required=True, metavar="HOST:PORT", help="the local SMTP server")
    words.add_argument("--ca-file", type=Path, help="PEM of the CA that signs the provider's certificate")
    words.add_argument("--hostname", default="localhost", help="our name in EHLO")
    words.add_argument("--live", action="store_true", help="run: stay on the line, so that mail comes when it arrives")
    words.add_argument("--every", type=float, default=300.0, help="run: seconds between two calls (300)")
    return words


def read(arguments: list[str]) -> Settings:
    """The settings. Raises BadSetting; argparse itself exits with 2 on words that it does not know."""
    words = parser().parse_args(arguments)
    try:
        secret = words.secret_file.read_bytes().strip()
    except OSError as error:
        raise BadSetting(f"--secret-file {words.secret_file} cannot be read: {error.strerror}") from None
    if not secret:
        raise BadSetting(f"--secret-file {words.secret_file} is empty; put the secret into it")
    if words.ca_file is not None and not words.ca_file.is_file():
        raise BadSetting(f"--ca-file {words.ca_file} is not there")
    bad = [name for name in words.domain if not is_domain(name)]
    if bad:
        raise BadSetting(f"--domain {bad[0]!r} is no domain name; write it in ASCII, such as example.org")
    if words.live and words.command != "run":
        raise BadSetting("--live needs the command run: a session that stays never comes to an end")
    if not words.every >= 1:
        raise BadSetting("--every must be a second at least")
    return Settings(
        provider=_address(words.provider, "--provider", ODMR_PORT),
        tls=words.tls,
        user=words.user,
        secret=secret,
        domains=tuple(words.domain),
        deliver=_address(words.deliver, "--deliver", None),
        ca_file=words.ca_file,
        hostname=words.hostname,
        every=words.every if words.command == "run" else None,
        is_live=words.live,
    )
