"""Puts auth together and runs it until told to stop."""

import asyncio
import base64

import structlog

from services.auth.keyring import Keyring
from services.auth.minter import Minter
from services.auth.responder import Responder
from services.auth.seal import Seal
from services.auth.settings import AuthSettings
from services.auth.verifier import Verifier
from shared.admin import admin_port
from shared.bus import subjects
from shared.bus.connection import Bus
from shared.clock import Clock
from shared.storage.credentials import Credentials
from shared.storage.engine import create_engine, engine_answers
from shared.storage.throttle import AuthFailures

log = structlog.get_logger()


async def run(settings: AuthSettings, stop: asyncio.Event) -> None:
    """Answers until `stop` is set."""
    clock = Clock()
    engine = create_engine(settings.database_url)
    credentials = Credentials(engine)
    seal = Seal(base64.b64decode(settings.seal_key))
    throttle = AuthFailures(engine)
    verifier = Verifier(credentials, throttle, seal, settings.hostname, lambda: clock.now().timestamp())
    responder = Responder(verifier, Minter(credentials, Keyring(seal), clock), seal.bus_key)
    bus = Bus(settings.nats_url, "auth")
    bus.start()
    try:
        await bus.subscribe(subjects.AUTH_VERIFY, responder.verify, queue="auth")
        await bus.subscribe(subjects.AUTH_KEY, responder.key, queue="auth")
        await bus.subscribe(subjects.AUTH_MINT, responder.mint, queue="auth")
        log.info("auth.ready")

        async def is_ready() -> bool:
            return await engine_answers(engine) and bus.is_connected

        async with admin_port(settings.admin_listen, stop, is_ready):
            await stop.wait()
    finally:
        await bus.close()
        await engine.dispose()
