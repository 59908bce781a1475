"""aiosmtpd's hooks: EHLO, HELO, and what an exception becomes. Thin; the transaction is in server."""

from typing import Final

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from shared.protocol.reply import S451_LOCAL_TROUBLE, Reply

log = structlog.get_logger()

#: Keywords of aiosmtpd's EHLO that we keep; what it says of AUTH and HELP is not ours.
_KEPT: Final = ("SIZE", "8BITMIME", "STARTTLS")


class Handler:
    """One for all connections; keeps nothing."""

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Our extensions. RFC 2920, 2034, 3461, 6531."""
        session.host_name = hostname
        kept = [line[4:] for line in responses[1:] if line[4:].split(" ")[0] in _KEPT]
        keywords = [server.hostname, "PIPELINING", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8", *kept]
        return [f"250-{word}" for word in keywords[:-1]] + [f"250 {keywords[-1]}"]

    async def handle_HELO(self, server: SMTP, session: Session, _envelope: Envelope, hostname: str) -> str:  # noqa: N802
        """RFC 5321 4.1.1.1: the old greeting has one line."""
        session.host_name = hostname
        return f"250 {server.hostname}"

    async def handle_exception(self, error: Exception) -> str:
        """A fault of ours is temporary, and its text stays with us."""
        log.error("session.exception", error=f"{type(error).__name__}: {error}", exc_info=error)
        return reply_text(S451_LOCAL_TROUBLE)


def reply_text(reply: Reply) -> str:
    """A reply of ours as aiosmtpd's push takes it: without the last line end."""
    return reply.to_wire().decode("ascii").removesuffix("\r\n")
