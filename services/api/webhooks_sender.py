"""Carries webhook deliveries: one POST an attempt, signed, to the address that was looked at (Standard Webhooks).

Security: the URL is a customer's. Its name is resolved once, every address of it must be of the public internet, and the
connection goes to the address that was checked, so that a second answer of the DNS (rebinding) changes nothing. Redirects are
not followed, no proxy of the environment is used, and no more of an answer is read than its status.
"""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx2
import structlog

from services.api.events import EventOutput
from services.api.parts import Parts
from shared import VERSION, metrics
from shared.domain.address import is_global
from shared.domain.names import public_id
from shared.domain.webhook import RETRIES, BadUrl, check_url, sign
from shared.resolve import CannotResolve
from shared.storage.event_log import Event
from shared.storage.webhooks import Due

log = structlog.get_logger()

#: Seconds for one attempt. Standard Webhooks: 15 to 30.
ATTEMPT_TIME: Final = 20.0
#: Attempts at a time in one process.
AT_ONCE: Final = 16
#: Seconds between two looks at the log and at what is due.
LOOK_EVERY: Final = 0.5
#: The longest that an endpoint may ask us to wait.
MAX_RETRY_AFTER: Final = timedelta(hours=24)


class Resolves(Protocol):
    """Finds the addresses of a host. Raises CannotResolve."""

    async def addresses(self, host: str) -> list[str]:
        """IPv6 and IPv4."""


class NotCalled(Exception):
    """No request was made; the text says why."""


class WebhooksSender:
    """`allowed` are host:port that are called whatever they are: for tests, and for services of the operator's own."""

    def __init__(self, parts: Parts, resolver: Resolves, allowed: Sequence[str]) -> None:
        self._parts = parts
        self._resolver = resolver
        self._allowed = allowed

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; what fails is logged and tried again."""
        async with httpx2.AsyncClient(timeout=ATTEMPT_TIME, trust_env=False, follow_redirects=False) as client:
            while not stop.is_set():
                try:
                    await self.round(client)
                except Exception as error:
                    log.warning("webhooks.failed", error=str(error), kind=type(error).__name__)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_EVERY)

    async def round(self, client: httpx2.AsyncClient) -> int:
        """Makes deliveries of what is new in the log, and tries those that are due; gives how many were tried."""
        await self._parts.webhooks.fan_out(self._parts.events, body_of)
        tried = 0
        while due := await self._parts.webhooks.begin(AT_ONCE):
            await asyncio.gather(*(self._try(client, one) for one in due))
            tried += len(due)
        return tried

    async def _try(self, client: httpx2.AsyncClient, due: Due) -> None:
        status, error, wait = None, "", timedelta()
        try:
            async with asyncio.timeout(ATTEMPT_TIME):
                status, wait = await self._post(client, due)
        except (NotCalled, CannotResolve) as why:
            error = str(why)
        except (httpx2.HTTPError, TimeoutError, OSError) as why:
            error = f"{type(why).__name__}: {why}" if str(why) else type(why).__name__
        webhooks = self._parts.webhooks
        metrics.WEBHOOKS.labels(_result(status, due.attempts)).inc()
        if status is not None and 200 <= status < 300:
            await webhooks.settle(due, "delivered", status, "", None)
        elif status == 410:
            await webhooks.settle(due, "failed", status, "it is gone", None)
            await webhooks.change(due.endpoint_id, {"state": "disabled", "disabled_for": "it answered 410 Gone"})
        elif due.attempts > len(RETRIES):
            await webhooks.settle(due, "failed", status, error, None)
        else:
            await webhooks.settle(due, "due", status, error, max(wait, RETRIES[due.attempts - 1]))
        log.info(
            "webhook.tried",
            endpoint_id=str(due.endpoint_id),
            event_id=str(due.event_id),
            status=status,
            error=error,
            attempts=due.attempts,
        )

    async def _post(self, client: httpx2.AsyncClient, due: Due) -> tuple[int, timedelta]:
        """The status, and how long the endpoint asks us to wait."""
        url = urlsplit(due.url)
        address = await self._address(due.url)
        host = f"[{address}]" if ":" in address else address
        port = f":{url.port}" if url.port else ""
        webhook_id, now = public_id("evt", due.event_id), self._parts.clock.now()
        body = due.body.encode()
        headers = {
            "Host": url.netloc.rpartition("@")[2],
            "Content-Type": "application/json",
            "User-Agent": f"odmr/{VERSION}",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": sign(self._secrets(due, now), webhook_id, int(now.timestamp()), body),
        }
        target = f"{url.scheme}://{host}{port}{url.path or '/'}" + (f"?{url.query}" if url.query else "")
        extensions = {"sni_hostname": url.hostname or ""}
        async with client.stream("POST", target, content=body, headers=headers, extensions=extensions) as answer:
            return answer.status_code, _retry_after(answer)

    async def _address(self, url: str) -> str:
        """The one to connect to. Raises NotCalled and CannotResolve."""
        try:
            check_url(url, self._allowed)
        except BadUrl as error:
            raise NotCalled(str(error)) from None
        parts = urlsplit(url)
        host = parts.hostname or ""
        if f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}" in self._allowed:
            return host
        addresses = await self._resolver.addresses(host)
        if not addresses:
            raise NotCalled(f"{host} has no address")
        if not all(is_global(address) for address in addresses):
            raise NotCalled(f"{host} has an address that is not of the public internet")
        return addresses[-1]  # IPv4 where there is one: not every operator has IPv6

    def _secrets(self, due: Due, now: datetime) -> list[str]:
        return open_secrets(self._parts, due.endpoint_id.bytes, due.sealed_secrets, now)


def open_secrets(parts: Parts, owner: bytes, sealed: bytes, now: datetime) -> list[str]:
    """The secrets that sign now, the newest first: an old one until its overlap is over."""
    known: list[list[str]] = json.loads(parts.seal.open(sealed, b"webhook " + owner))
    return [secret for secret, until in known if not until or datetime.fromisoformat(until) > now]


def seal_secrets(parts: Parts, owner: bytes, known: Sequence[tuple[str, datetime | None]]) -> bytes:
    """Secrets, each with the time at which it ends to sign."""
    words = [[secret, until.isoformat() if until else ""] for secret, until in known]
    return parts.seal.seal(json.dumps(words).encode(), b"webhook " + owner)


def body_of(event: Event) -> str:
    """What an endpoint hears of an event; it is written down, so that each attempt says the same."""
    return EventOutput.of(event).model_dump_json(exclude={"id"})


def _retry_after(answer: httpx2.Response) -> timedelta:
    text = answer.headers.get("Retry-After", "")
    if answer.status_code not in (429, 503) or not (text.isascii() and text.isdigit()):
        return timedelta()
    return min(timedelta(seconds=int(text[:9])), MAX_RETRY_AFTER)


def _result(status: int | None, attempts: int) -> str:
    if status is not None and 200 <= status < 300:
        return "delivered"
    return "failed" if status == 410 or attempts > len(RETRIES) else "again"
