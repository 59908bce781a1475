"""The HTTP API on a real PostgreSQL and a real auth over a real NATS, and a client for each kind of key."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest

from services.api.app import create_app
from services.api.parts import Calls, parts_on
from services.auth.app import run as run_auth
from services.auth.settings import AuthSettings
from shared.bus.connection import Bus
from shared.clock import Clock
from shared.domain.access import OPERATOR, Principal
from shared.resolve import Resolver
from shared.storage.api_keys import ApiKeys
from shared.storage.engine import create_engine


@dataclass
class Api:
    """A client for each kind of key."""

    operator: httpx2.AsyncClient
    stranger: httpx2.AsyncClient
    keys: ApiKeys
    app: object

    async def client(self, principal: Principal) -> httpx2.AsyncClient:
        """A client whose key speaks for this principal."""
        key = Clock().new_secret()
        await self.keys.add(Clock().new_id(), "test", "odmr_test", hashlib.sha256(key.encode()).digest(), principal)
        return _client(self.app, key)


CALLS = Calls("mx.provider.example", 366, 3367, 3368)


def _client(app: object, key: str) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://api", headers=headers)  # type: ignore[arg-type]


@pytest.fixture
async def api(database_url: str, nats_urls: dict[str, str]) -> AsyncIterator[Api]:
    engine, stop = create_engine(database_url), asyncio.Event()
    bus = Bus(nats_urls["api"], "api")
    bus.start()
    await bus.connected()
    settings = AuthSettings(
        database_url=database_url, nats_url=nats_urls["auth"], seal_key=base64.b64encode(b"k" * 32).decode()
    )
    auth = asyncio.create_task(run_auth(settings, stop))
    parts = parts_on(engine, bus, b"a" * 32, Resolver("127.0.0.1:9"), CALLS)
    keys, app = parts.keys, create_app(parts)
    made = Api(_client(app, ""), _client(app, ""), keys, app)
    made.operator = await made.client(OPERATOR)
    yield made
    stop.set()
    await auth
    await bus.close()
    await engine.dispose()


async def make_customer(api: Api, name: str) -> str:
    """A customer by this name, and by `ext:x-NAME`; gives its id."""
    answer = await api.operator.post("/v1/customers", json={"name": name, "external_id": f"x-{name}"})
    assert answer.status_code == 201
    return str(answer.json()["id"])
