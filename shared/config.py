"""Settings from the environment, with one clear sentence for each that is wrong. The only reader of os.environ.

Every setting is `ODMR_...`; a secret may come from a file: `ODMR_X_FILE=/run/secrets/x`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound="Settings")


def environment() -> Mapping[str, str]:
    """The process's environment."""
    return os.environ  # noqa: TID251 - this is the reader


class BadSettings(Exception):
    """One sentence a setting that is wrong."""


class Settings(BaseSettings):
    """What every service knows. A subclass adds its own; defaults are for one machine."""

    model_config = SettingsConfigDict(env_prefix="ODMR_", extra="ignore", frozen=True, hide_input_in_errors=True)

    #: PostgreSQL, as postgresql://user:password@host:port/database.
    database_url: str
    #: NATS, as nats://user:password@host:port.
    nats_url: str
    #: Our name in greetings and Received lines.
    hostname: str = "mx.localhost"
    #: debug, info, warning or error.
    log_level: str = "info"


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
    name = "ODMR_" + "_".join(str(part) for part in error["loc"]).upper()
    if error["type"] == "missing":
        return f"{name} is not set; see README.md, Settings"
    return f"{name} is wrong: {error['msg'].removeprefix('Value error, ')}"
