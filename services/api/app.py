"""Puts api together and runs it until told to stop."""

import asyncio
import base64
import contextlib
import gc

import structlog
import uvicorn
from fastapi import FastAPI

from services.api import (
    api_keys,
    audit,
    client_configs,
    credentials,
    customers,
    diagnostics,
    domains,
    errors,
    events,
    messages,
    ownership,
    plans,
    provisioning,
    queues,
    sessions,
    usage,
    webhooks,
    whoami,
)
from services.api.audit import Audit
from services.api.idempotency import Once
from services.api.parts import Calls, Parts, parts_on
from services.api.rate import RateLimited, Rates
from services.api.settings import ApiSettings
from services.api.versions import NotModified
from services.api.webhooks_sender import WebhooksSender
from shared import VERSION
from shared.admin import admin_port
from shared.bus.connection import Bus
from shared.listening import bind
from shared.resolve import Resolver
from shared.storage.engine import create_engine, engine_answers

log = structlog.get_logger()

#: Each with its router, in the order of the documentation.
NOUNS = (
    whoami, plans, provisioning, customers, domains, ownership, queues, credentials, client_configs, messages, sessions,
    usage, events, webhooks, api_keys, audit, diagnostics,
)  # fmt: skip


def create_app(parts: Parts, requests_per_second: int = 0) -> FastAPI:
    """The application; /openapi.json describes it."""
    app = FastAPI(
        title="ODMR provider",
        version=VERSION,
        docs_url="/docs",
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.parts = parts
    app.state.streams = 0
    app.state.stopping = asyncio.Event()
    for middleware in (Audit, Once, NotModified):  # the last sees a request first
        app.add_middleware(middleware)
    if requests_per_second:
        app.add_middleware(RateLimited, rates=Rates(requests_per_second))
    errors.install(app)
    for noun in NOUNS:
        app.include_router(noun.router)
    return app


async def run(settings: ApiSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    engine = create_engine(settings.database_url)
    bus = Bus(settings.nats_url, "api")
    bus.start()
    resolver, allowed = Resolver(settings.dns), tuple(settings.webhook_allow.split())
    seal_key = base64.b64decode(settings.api_seal_key)
    calls = Calls(settings.hostname, settings.port, settings.tls_port, settings.certificate_port)
    parts = parts_on(engine, bus, seal_key, resolver, calls, allowed)
    app = create_app(parts, settings.api_requests_per_second)
    sock = bind(settings.api_listen)
    server = uvicorn.Server(uvicorn.Config(app, http="httptools", log_config=None, access_log=False, lifespan="off"))
    # uvicorn would take the signals for itself; they belong to the program.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    sender = WebhooksSender(parts, resolver, allowed)
    sending = asyncio.create_task(sender.run(stop))
    gc.collect()
    gc.freeze()  # what was made up to here stays: a full collection would look through all of it, and a request would wait
    log.info("api.ready", listen=settings.api_listen)

    async def is_ready() -> bool:
        return await engine_answers(engine)

    async with admin_port(settings.admin_listen, stop, is_ready):
        await stop.wait()
    app.state.stopping.set()
    server.should_exit = True
    await serving
    await sending
    await bus.close()
    await engine.dispose()
