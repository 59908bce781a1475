"""Settings from the environment, with one clear sentence for each that is wrong. The only reader of os.environ.

Every setting is `ODMR_...`; a secret may come from a file: `ODMR_X_FILE=/run/secrets/x`.
"""

import base64
import binascii
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound="Settings")


def environment() -> Mapping[str, str]:
    """The process's environment."""
    return os.environ  # noqa: TID251 - this is the reader


def _is_postgresql(value: str) -> str:
    if not value.startswith("postgresql://"):
        raise ValueError("write postgresql://user:password@host:port/database")
    return value


def _is_nats(value: str) -> str:
    if not value.startswith(("nats://", "tls://")):
        raise ValueError("write nats://user:password@host:port")
    return value


def _are_networks(value: str) -> str:
    try:
        for word in value.split():
            ipaddress.ip_network(word)
    except ValueError:
        raise ValueError("write networks with spaces between them, such as 10.0.0.0/8 fd00::/8") from None
    return value


def _is_http(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("write the URL of an OTLP collector, such as http://127.0.0.1:4318")
    return value


def _is_level(value: str) -> str:
    if value not in ("debug", "info", "warning", "error"):
        raise ValueError("write debug, info, warning or error")
    return value


def _is_listen(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError("write host:port, such as 127.0.0.1:25")
    return value


def _is_seal_key(value: str) -> str:
    try:
        size = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size != 32:
        raise ValueError("write 32 random octets in base64, such as `openssl rand -base64 32` prints")
    return value


#: 32 octets in base64 under which secrets lie sealed.
SealKey = Annotated[str, AfterValidator(_is_seal_key)]
#: Networks with spaces between them.
ProxyNetworks = Annotated[str, AfterValidator(_are_networks)]
#: host:port to listen at.
Listen = Annotated[str, AfterValidator(_is_listen)]


class BadSettings(Exception):
    """One sentence a setting that is wrong."""


class Settings(BaseSettings):
    """What every service knows. A subclass adds its own; defaults are for one machine."""

    model_config = SettingsConfigDict(env_prefix="ODMR_", extra="ignore", frozen=True, hide_input_in_errors=True)

    # The URLs hold passwords, and so do not print.
    #: PostgreSQL, as postgresql://user:password@host:port/database.
    database_url: Annotated[str, AfterValidator(_is_postgresql)] = Field(repr=False)
    #: NATS, as nats://user:password@host:port.
    nats_url: Annotated[str, AfterValidator(_is_nats)] = Field(repr=False)
    #: Our name in greetings and Received lines.
    hostname: str = "mx.localhost"
    #: host:port for /livez and /readyz; empty for none.
    admin_listen: Listen | Literal[""] = ""
    #: debug, info, warning or error.
    log_level: Annotated[str, AfterValidator(_is_level)] = "info"


class TlsSettings(Settings):
    """Of a service that speaks TLS."""

    #: Certificate chain and key, PEM. Without them there is no STARTTLS.
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    @model_validator(mode="after")
    def _certificate_and_key_agree(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("set both ODMR_TLS_CERTIFICATE and ODMR_TLS_KEY, or neither")
        for name, path in (("ODMR_TLS_CERTIFICATE", self.tls_certificate), ("ODMR_TLS_KEY", self.tls_key)):
            if path is not None and not path.is_file():
                raise ValueError(f"{name} is wrong: {path} cannot be read")
        return self


class TracedSettings(TlsSettings):
    """Of a service that messages pass."""

    #: The OTLP collector (HTTP) that is told of each message's way; empty for none.
    otlp_endpoint: Annotated[str, AfterValidator(_is_http)] = ""
    #: Of how many messages: 1 is all of them.
    trace_ratio: float = Field(default=1.0, ge=0, le=1)


def load(kind: type[S]) -> S:
    """The settings of a service. Raises BadSettings."""
    try:
        return kind(**_secrets_from_files())
    except ValidationError as error:
        raise BadSettings("; ".join(_sentence(dict(one)) for one in error.errors())) from None


def _secrets_from_files() -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, path in environment().items():
        if name.startswith("ODMR_") and name.endswith("_FILE") and path:
            try:
                values[name[len("ODMR_") : -len("_FILE")].lower()] = Path(path).read_text().strip()
            except OSError:
                if name != "ODMR_CA_FILE":
                    raise BadSettings(f"{name} names {path}, which cannot be read") from None
    return values


def _sentence(error: dict[str, Any]) -> str:
    words = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return words
    name = "ODMR_" + "_".join(str(part) for part in error["loc"]).upper()
    return f"{name} is not set; see README.md, Settings" if error["type"] == "missing" else f"{name} is wrong: {words}"
