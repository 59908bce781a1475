"""Calls the provider and negotiates up to the turn. RFC 2645 5. Security: the certificate must prove the provider's name."""

import asyncio
import contextlib
import secrets
import ssl
from dataclasses import dataclass
from typing import Final, assert_never

from connector.outcome import Exit, Outcome, of_refusal
from connector.settings import Settings
from shared.protocol.customer import CustomerConnection, CustomerProfile, Step
from shared.protocol.events import Checked, Refused, Say, StartTls, Turned, Waiting
from shared.protocol.sasl.client import Login
from shared.tls import Stream, client_context, connect

#: Seconds for a connection and a handshake, for a reply, and for the reply to ATRN (RFC 2645 5.2.1: ten minutes).
CONNECT_TIME: Final = 30.0
REPLY_TIME: Final = 300.0
ATRN_TIME: Final = 600.0
QUIT_TIME: Final = 10.0


@dataclass(frozen=True, slots=True)
class Line:
    """A turned line: what the provider has said behind its 250 is in `early`. `is_live`: it stays when the queue is empty."""

    stream: Stream
    early: bytes
    is_live: bool = False


async def dial(settings: Settings) -> Line | Outcome:
    """A turned line, or why there is none."""
    stream: Stream | None = None
    try:
        async with asyncio.timeout(CONNECT_TIME):
            stream = await connect(settings.provider.host, settings.provider.port)
            if settings.tls == "implicit":
                await _start_tls(stream, settings)
        result = await _negotiate(stream, settings)
    except ssl.SSLError as error:
        result = Outcome(Exit.TLS_FAILED, f"TLS with {settings.provider} failed: {error}")
    except TimeoutError:
        result = Outcome(Exit.GONE, f"{settings.provider} did not answer in time")
    except OSError as error:
        result = Outcome(Exit.GONE, f"{settings.provider} cannot be reached: {error}")
    except BaseException:  # told to end
        if stream is not None:
            stream.close()
        raise
    if isinstance(result, Outcome) and stream is not None:
        stream.close()
    return result


async def _negotiate(stream: Stream, settings: Settings) -> Line | Outcome:
    login = Login(
        settings.user,
        settings.secret,
        nonce=secrets.token_urlsafe(18),
        has_certificate=settings.certificate is not None,
        mechanisms=settings.mechanisms,
    )
    profile = CustomerProfile(
        settings.hostname,
        login,
        settings.domains,
        require_tls=settings.tls != "none",
        is_live=settings.is_live,
        wants_ids=settings.ledger is not None,
        only_checks=settings.command == "check",
    )
    machine = CustomerConnection(profile, under_tls=stream.is_tls)
    while True:
        event = machine.next_event()
        match event:
            case Say(data):
                await stream.write(data)
            case StartTls():
                async with asyncio.timeout(CONNECT_TIME):
                    await _start_tls(stream, settings)
                await stream.write(machine.tls_started())
            case Turned(early, is_live):
                return Line(stream, early, is_live)
            case Checked(words):
                await _quit(stream)
                return Outcome(Exit.OK, f"logged in at {settings.provider}; {words}")
            case Refused(step, reply):
                return of_refusal(step, reply)
            case Waiting():
                async with asyncio.timeout(reply_time(machine.step)):
                    machine.receive_data(await stream.read())
            case _:
                assert_never(event)


def reply_time(step: Step) -> float:
    """Seconds for the provider's reply."""
    return ATRN_TIME if step is Step.ATRN else REPLY_TIME


async def _quit(stream: Stream) -> None:
    """RFC 5321 4.1.1.10: the reply is waited for, and needed for nothing."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(QUIT_TIME):
            await stream.write(b"QUIT\r\n")
            await stream.read()


async def _start_tls(stream: Stream, settings: Settings) -> None:
    context = client_context(settings.ca_file, settings.certificate, settings.key)
    await stream.start_tls(context, server_side=False, hostname=settings.provider.host)
