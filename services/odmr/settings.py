"""What odmr is told."""

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from services.odmr.limits import Limits
from shared.config import Listen, ProxyNetworks, TracedSettings
from shared.domain.lease import LEASE_TIME, MAX_SESSIONS, LeaseTerms
from shared.protocol.provider import ProviderProfile
from shared.protocol.sasl import cram_md5, plain, scram


class OdmrSettings(TracedSettings):
    """odmr's own: where it listens, and what it asks of a customer."""

    #: host:port of the ODMR port (STARTTLS), and of the one with TLS from the first octet; empty for none.
    odmr_listen: Listen = "127.0.0.1:3366"
    odmr_tls_listen: Listen | Literal[""] = ""
    #: The same with a client's certificate asked for (EXTERNAL); empty for none.
    odmr_certificate_listen: Listen | Literal[""] = ""
    #: The same three for balancers that say who the customer is (PROXY protocol, version 2), and the networks where they
    #: are, with spaces between them; empty for none.
    odmr_proxy_listen: Listen | Literal[""] = ""
    odmr_tls_proxy_listen: Listen | Literal[""] = ""
    odmr_certificate_proxy_listen: Listen | Literal[""] = ""
    proxy_networks: ProxyNetworks = ""
    #: In clear nothing but EHLO, NOOP, STARTTLS and QUIT is taken.
    require_tls: bool = False
    #: Where CRAM-MD5 is offered: tls, always or never.
    cram_md5: Literal["tls", "always", "never"] = "tls"
    #: Where PLAIN is offered: tls or never. In clear it never is.
    plain: Literal["tls", "never"] = "tls"
    #: Seconds without a command, and from the connection to the turn.
    idle_seconds: float = Field(default=300.0, gt=0, le=3600)
    login_seconds: float = Field(default=1_800.0, gt=0, le=86_400)
    #: Seconds for the customer's server: to greet, to answer MAIL, RCPT, DATA, to take a block, to answer the final dot.
    greeting_seconds: float = Field(default=300.0, gt=0, le=3600)
    mail_seconds: float = Field(default=300.0, gt=0, le=3600)
    rcpt_seconds: float = Field(default=300.0, gt=0, le=3600)
    data_seconds: float = Field(default=120.0, gt=0, le=3600)
    block_seconds: float = Field(default=180.0, gt=0, le=3600)
    dot_seconds: float = Field(default=600.0, gt=0, le=3600)
    #: Between two signs of life on a live session.
    noop_seconds: float = Field(default=240.0, gt=0, le=240)
    #: After so long a live session ends with QUIT.
    live_seconds: float = Field(default=86_400.0, gt=0)
    #: Sessions of one customer at a time.
    max_sessions: int = Field(default=MAX_SESSIONS, ge=1)
    #: The least time between two ATRN of one credential; 0 for no limit.
    atrn_interval_seconds: float = Field(default=0.0, ge=0, le=86_400)
    #: How long a session's lease lasts without renewal.
    lease_seconds: float = Field(default=LEASE_TIME.total_seconds(), ge=0.5, le=3600)
    #: How often live sessions look for mail of which no wake-up told.
    poll_seconds: float = Field(default=10.0, ge=0.05, le=3600)
    #: How long a session may finish its message after SIGTERM.
    drain_seconds: float = Field(default=30.0, ge=0)

    @model_validator(mode="after")
    def _balancers_are_named(self) -> Self:
        for name in ("odmr_proxy_listen", "odmr_tls_proxy_listen", "odmr_certificate_proxy_listen"):
            if getattr(self, name) and not self.proxy_networks:
                raise ValueError(
                    f"ODMR_{name.upper()} needs ODMR_PROXY_NETWORKS: whoever may speak there says who he is"
                )
        return self

    @model_validator(mode="after")
    def _tls_has_a_certificate(self) -> Self:
        asking = {
            "ODMR_ODMR_TLS_LISTEN": self.odmr_tls_listen,
            "ODMR_ODMR_CERTIFICATE_LISTEN": self.odmr_certificate_listen,
            "ODMR_ODMR_TLS_PROXY_LISTEN": self.odmr_tls_proxy_listen,
            "ODMR_ODMR_CERTIFICATE_PROXY_LISTEN": self.odmr_certificate_proxy_listen,
            "ODMR_REQUIRE_TLS": self.require_tls,
        }
        for name, value in asking.items():
            if value and self.tls_certificate is None:
                raise ValueError(f"{name} needs ODMR_TLS_CERTIFICATE and ODMR_TLS_KEY")
        return self

    @property
    def lease_terms(self) -> LeaseTerms:
        """The lease time as the domain knows it."""
        return LeaseTerms(timedelta(seconds=self.lease_seconds))

    @property
    def limits(self) -> Limits:
        """The times as sessions know them."""
        return Limits(
            idle=self.idle_seconds,
            login=self.login_seconds,
            noop=self.noop_seconds,
            greeting=self.greeting_seconds,
            mail=self.mail_seconds,
            rcpt=self.rcpt_seconds,
            data=self.data_seconds,
            block=self.block_seconds,
            dot=self.dot_seconds,
            live=self.live_seconds,
            sessions=self.max_sessions,
            atrn_interval=timedelta(seconds=self.atrn_interval_seconds),
        )

    def profile(self, *, has_starttls: bool) -> ProviderProfile:
        """What the ports offer. SCRAM shows nobody a secret, so it is offered in clear, too."""
        cram_in_clear = (cram_md5.NAME,) if self.cram_md5 == "always" else ()
        cram_under_tls = () if self.cram_md5 == "never" else (cram_md5.NAME,)
        plain_under_tls = (plain.NAME,) if self.plain == "tls" else ()
        return ProviderProfile(
            self.hostname,
            mechanisms_in_clear=(scram.NAME, *cram_in_clear),
            mechanisms_under_tls=(scram.NAME, *cram_under_tls, *plain_under_tls),
            has_starttls=has_starttls,
            requires_tls=self.require_tls,
        )
