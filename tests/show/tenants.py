"""Another tenant's object takes as long to be denied as one that is not there: else a guess could be told from a hit."""

import time

import httpx2

from localserve.provider import Provider
from localserve.provision import api_url, client
from tests.show.measuring import difference

#: Times that each is asked for, after a first few that warm up.
TRIES, WARMING = 300, 20


async def times(provider: Provider) -> tuple[float, float]:
    """How the denials differ: as `difference` has it, for a customer, a domain and a credential asked for in turn."""
    async with client(provider) as operator:
        key, theirs = await _two_tenants(operator)
    headers = {"Authorization": f"Bearer {key}"}
    taken: dict[bool, list[float]] = {True: [], False: []}
    async with httpx2.AsyncClient(base_url=api_url(provider), headers=headers, trust_env=False) as mine:
        for attempt in range(TRIES + WARMING):
            for noun, there in theirs.items():
                kind = there.partition("_")[0]
                nowhere = f"{kind}_{'0' * 22}{attempt:04d}"
                for known in (there, nowhere) if attempt % 2 else (nowhere, there):
                    began = time.perf_counter()
                    answer = await mine.get(f"/v1/{noun}/{known}")
                    spent = time.perf_counter() - began
                    assert answer.status_code == 404, answer.text
                    if attempt >= WARMING:
                        taken[known is there].append(spent)
    return difference(taken[True], taken[False])


async def _two_tenants(operator: httpx2.AsyncClient) -> tuple[str, dict[str, str]]:
    """The key of one, and what the other has."""
    body = {"name": "Theirs", "external_id": "theirs", "domains": ["theirs.example"], "credential": True}
    theirs = (await operator.post("/v1/customers", json=body)).json()
    mine = (await operator.post("/v1/customers", json={"name": "Mine"})).json()
    asked = {"name": "mine", "role": "customer", "customer_id": mine["id"], "scopes": ["*"]}
    key = (await operator.post("/v1/api_keys", json=asked)).json()["key"]
    return key, {
        "customers": theirs["id"], "domains": theirs["domains"][0]["id"], "credentials": theirs["credential"]["id"],
    }  # fmt: skip
