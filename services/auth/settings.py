"""What auth is told."""

from pydantic import Field

from shared.config import SealKey, Settings


class AuthSettings(Settings):
    """Auth's own: the key under which secrets lie sealed."""

    #: 32 octets in base64. All replicas share it; who loses it loses every credential.
    seal_key: SealKey = Field(repr=False)
