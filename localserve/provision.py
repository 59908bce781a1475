"""The operator's key and the demo customer, made at the first start through the HTTP API, as an operator would."""

import hashlib
from typing import Final

import httpx2

from localserve.provider import Provider
from shared.domain.access import OPERATOR
from shared.storage.api_keys import ApiKeys
from shared.storage.engine import create_engine
from shared.storage.reading import Conflict

DEMO_DOMAIN: Final = "demo.example"


async def provision(provider: Provider) -> None:
    """Makes what is missing, and writes demo.env."""
    await _operator_key(provider)
    if not provider.secrets.demo_secret:
        await _demo_customer(provider)
    provider.layout.write_private(provider.layout.demo_env, demo_env(provider))


def demo_env(provider: Provider) -> str:
    """How to reach the demo customer, as KEY=value for a shell."""
    values = {
        "ODMR_DEMO_USER": provider.secrets.demo_user,
        "ODMR_DEMO_SECRET": provider.secrets.demo_secret,
        "ODMR_DEMO_DOMAIN": DEMO_DOMAIN,
        "ODMR_API_URL": api_url(provider),
        "ODMR_API_KEY": provider.secrets.api_key,
        "ODMR_SMTP_PORT": str(provider.ports.smtp),
        "ODMR_PORT": str(provider.ports.odmr),
        "ODMR_TLS_PORT": str(provider.ports.odmr_tls),
        "ODMR_CA_FILE": f"'{provider.ca_file}'" if " " in str(provider.ca_file) else str(provider.ca_file),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def api_url(provider: Provider) -> str:
    """The root of the HTTP API."""
    return f"http://127.0.0.1:{provider.ports.api}"


def client(provider: Provider) -> httpx2.AsyncClient:
    """Speaks to the HTTP API as the operator."""
    return httpx2.AsyncClient(
        base_url=api_url(provider),
        headers={"Authorization": f"Bearer {provider.secrets.api_key}"},
        timeout=30.0,
        trust_env=False,
    )


async def make_customer(
    provider: Provider, name: str, domains: list[str], authcid: str | None = None
) -> tuple[str, str]:
    """A customer with domains and one credential; gives its name and secret. What is there already is used."""
    async with client(provider) as api:
        external = await api.get(f"/v1/customers/ext:{name}")
        if external.status_code == 404:
            external = await api.post("/v1/customers", json={"name": name, "external_id": name})
        external.raise_for_status()
        customer_id = external.json()["id"]
        for domain in domains:
            made = await api.post("/v1/domains", json={"customer_id": customer_id, "name": domain})
            if made.status_code != 409:
                made.raise_for_status()
        credential = await api.post("/v1/credentials", json={"customer_id": customer_id, "authcid": authcid})
        credential.raise_for_status()
        body = credential.json()
        return body["authcid"], body["secret"]


async def _demo_customer(provider: Provider) -> None:
    provider.secrets.demo_user, provider.secrets.demo_secret = await make_customer(provider, "demo", [DEMO_DOMAIN])
    provider.secrets.save(provider.layout)


async def _operator_key(provider: Provider) -> None:
    engine = create_engine(provider.database_url, size=1)
    digest = hashlib.sha256(provider.secrets.api_key.encode()).digest()
    try:
        await ApiKeys(engine).add(provider.clock.new_id(), "localserve", "odmr_local", digest, OPERATOR)
    except Conflict:
        pass  # from an earlier start
    finally:
        await engine.dispose()
