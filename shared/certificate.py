"""A listener's certificate: one context for each way to listen, and the new certificate in all of them once its files change.

A session keeps what it shook hands with; only later handshakes show the new one. ACME clients and Kubernetes both put
a new pair in place of the old, in two steps that may be seen half done.
"""

import asyncio
import os
import ssl
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509

from shared import metrics
from shared.tls import server_context

log = structlog.get_logger()

#: Seconds between two looks at the files.
LOOK_EVERY: Final = 5.0


class Certificate:
    """The chain and key of these two files, PEM."""

    def __init__(self, chain: Path, key: Path) -> None:
        """Raises ssl.SSLError and OSError where they are no pair."""
        self._chain = chain
        self._key = key
        self._seen = self._state()
        self._contexts: list[ssl.SSLContext] = []
        self.context()
        self._tell()

    def context(self) -> ssl.SSLContext:
        """One of its own for a listener, which may change how it verifies clients."""
        self._contexts.append(server_context(self._chain, self._key))
        return self._contexts[-1]

    async def follow(self) -> None:
        """Until cancelled. A pair that does not fit leaves the old one and is looked at again."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.renew()

    def renew(self) -> bool:
        """Looks once; says whether there was a new pair, which is loaded."""
        try:
            state = self._state()
            if state == self._seen:
                return False
            server_context(self._chain, self._key)  # what does not fit must not touch a context that serves
            for context in self._contexts:
                context.load_cert_chain(self._chain, self._key)
            self._tell()
        except (OSError, ValueError) as error:
            log.error("certificate.not_renewed", chain=str(self._chain), error=f"{type(error).__name__}: {error}")
            return False
        self._seen = state
        log.info("certificate.renewed", chain=str(self._chain))
        return True

    def _state(self) -> tuple[tuple[int, int, int], ...]:
        """What differs between two files of one name, through the links that Kubernetes puts before them."""
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in map(os.stat, (self._chain, self._key)))

    def _tell(self) -> None:
        shown = x509.load_pem_x509_certificates(self._chain.read_bytes())[0]
        metrics.CERTIFICATE_ENDS.set(shown.not_valid_after_utc.timestamp())


def certificate_of(chain: Path | None, key: Path | None) -> Certificate | None:
    """The same where TLS may be left out."""
    return None if chain is None or key is None else Certificate(chain, key)
