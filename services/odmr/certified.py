"""The port that asks for a client's certificate: its TLS context takes up certificates as they are registered.

A port of its own, so that a stranger's certificate cannot break a handshake that does not need one. DESIGN, decided 16.
"""

import ssl

import structlog

from shared.storage.anchors import Anchors
from shared.tls import asks_for_certificate

log = structlog.get_logger()


class CertifiedPort:
    """A context, and how it is brought up to date before each handshake."""

    def __init__(self, context: ssl.SSLContext, anchors: Anchors) -> None:
        self.context = context
        asks_for_certificate(self.context)
        self._anchors = anchors

    async def refresh(self) -> None:
        """Loads what was registered since. Without the database those that are known still prove themselves."""
        try:
            unseen = await self._anchors.unseen()
        except Exception as error:
            log.warning("certificates.unavailable", error=f"{type(error).__name__}: {error}")
            return
        for der in unseen:
            try:
                self.context.load_verify_locations(cadata=der)
            except (ssl.SSLError, ValueError) as error:
                log.error("certificate.not_loaded", error=str(error))
