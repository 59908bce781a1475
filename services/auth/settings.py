"""What auth is told."""

import base64
import binascii

from pydantic import Field, field_validator

from shared.config import Settings


class AuthSettings(Settings):
    """Auth's own: the key under which secrets lie sealed."""

    #: 32 octets in base64. All replicas share it; who loses it loses every credential.
    seal_key: str = Field(repr=False)

    @field_validator("seal_key")
    @classmethod
    def _is_a_key(cls, value: str) -> str:
        try:
            size = len(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            size = 0
        if size != 32:
            raise ValueError("write 32 random octets in base64, such as `openssl rand -base64 32` prints")
        return value
