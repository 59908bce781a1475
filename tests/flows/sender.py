"""A sender that does as an MTA must: it keeps a message until it hears 250, and tries again after anything else."""

import asyncio
import smtplib
from dataclasses import dataclass, field

DOMAIN = "demo.example"


@dataclass(slots=True)
class Ledger:
    """What was sent and what was heard. `unsure` are messages of which one attempt had no answer, or 451 to content."""

    acked: list[str] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)
    permanent: list[str] = field(default_factory=list)


def content(name: str) -> bytes:
    """A message that says which it is."""
    return f"From: a@remote.example\r\nMessage-ID: <{name}@remote.example>\r\n\r\n.{name}\r\n".encode()


def name_of(message: bytes) -> str:
    """Which message it is, from its content."""
    return message.partition(b"Message-ID: <")[2].partition(b"@")[0].decode()


def _try(port: int, name: str, ledger: Ledger) -> bool:
    is_taken = False
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=15) as smtp:
            ledger.unsure.add(name)
            smtp.sendmail("a@remote.example", [f"user@{DOMAIN}"], content(name))
            is_taken = True
    except smtplib.SMTPResponseException as error:
        if is_taken:  # and then QUIT was answered with 421
            return True
        if not isinstance(
            error, smtplib.SMTPDataError
        ):  # 451 to content: the commit may have happened (RELIABILITY L4, b)
            ledger.unsure.discard(name)
        if error.smtp_code >= 500:
            ledger.permanent.append(f"{name}: {error.smtp_code} {error.smtp_error!r}")
        return False
    except smtplib.SMTPRecipientsRefused as error:
        ledger.unsure.discard(name)
        ledger.permanent += [f"{name}: {code}" for code, _ in error.recipients.values() if code >= 500]
        return False
    except (OSError, smtplib.SMTPException):
        pass
    return is_taken


async def send_all(port: int, names: list[str], ledger: Ledger, seconds: float) -> None:
    """Sends each until it is acknowledged. Fails when that takes too long."""
    async with asyncio.timeout(seconds):
        for name in names:
            tried_without_answer = False
            while not await asyncio.to_thread(_try, port, name, ledger):
                tried_without_answer = tried_without_answer or name in ledger.unsure
                await asyncio.sleep(0.1)
            ledger.acked.append(name)
            if not tried_without_answer:
                ledger.unsure.discard(name)
