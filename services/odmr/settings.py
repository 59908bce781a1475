"""What odmr is told."""

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from shared.config import Listen, TlsSettings
from shared.domain.lease import LEASE_TIME, LeaseTerms

#: Mechanisms that this version has. PLAIN, EXTERNAL and SCRAM-SHA-256 are refused with 504.
CRAM_MD5 = "CRAM-MD5"


class OdmrSettings(TlsSettings):
    """odmr's own: where it listens, and what it asks of a customer."""

    #: host:port of the ODMR port (STARTTLS), and of the one with TLS from the first octet; empty for none.
    odmr_listen: Listen = "127.0.0.1:3366"
    odmr_tls_listen: Listen | Literal[""] = ""
    #: Where CRAM-MD5 is offered: tls, always or never.
    cram_md5: Literal["tls", "always", "never"] = "tls"
    #: How long a session's lease lasts without renewal.
    lease_seconds: float = Field(default=LEASE_TIME.total_seconds(), ge=0.5, le=3600)
    #: How often live sessions look for mail of which no wake-up told.
    poll_seconds: float = Field(default=10.0, ge=0.05, le=3600)
    #: How long a session may finish its message after SIGTERM.
    drain_seconds: float = Field(default=30.0, ge=0)

    @model_validator(mode="after")
    def _tls_port_has_a_certificate(self) -> Self:
        if self.odmr_tls_listen and self.tls_certificate is None:
            raise ValueError("ODMR_ODMR_TLS_LISTEN needs ODMR_TLS_CERTIFICATE and ODMR_TLS_KEY")
        return self

    @property
    def lease_terms(self) -> LeaseTerms:
        """The lease time as the domain knows it."""
        return LeaseTerms(timedelta(seconds=self.lease_seconds))

    @property
    def mechanisms_in_clear(self) -> tuple[str, ...]:
        """What AUTH offers before TLS."""
        return (CRAM_MD5,) if self.cram_md5 == "always" else ()

    @property
    def mechanisms_under_tls(self) -> tuple[str, ...]:
        """What AUTH offers under TLS."""
        return () if self.cram_md5 == "never" else (CRAM_MD5,)
