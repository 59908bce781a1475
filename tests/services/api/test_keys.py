"""Keys in rotation, when they were used last, and scopes."""

import re
from pathlib import Path
from typing import Any, get_args

import services.api
from services.api.api_keys import Scope
from shared.domain.access import Principal, Role
from shared.domain.names import CustomerId, from_public_id
from shared.storage.engine import Pool
from tests.services.api.conftest import Api, make_customer


async def _key(api: Api, **body: object) -> dict[str, Any]:
    made = await api.operator.post(
        "/v1/api_keys", json={"name": "billing", "role": "operator", "scopes": ["*"], **body}
    )
    assert made.status_code == 201, made.text
    return dict(made.json())


async def _is_good(api: Api, key: str) -> bool:
    answer = await api.stranger.get("/v1/whoami", headers={"Authorization": f"Bearer {key}"})
    return bool(answer.status_code == 200)


async def test_both_keys_are_good_while_a_rotation_overlaps(api: Api, pool: Pool) -> None:
    old = await _key(api, scopes=["usage:read"])
    new = (await api.operator.post(f"/v1/api_keys/{old['id']}/rotate", json={"overlap_seconds": 3600})).json()
    assert (new["name"], new["role"], new["scopes"], new["expires_at"]) == ("billing", "operator", ["usage:read"], None)
    assert await _is_good(api, old["key"]) and await _is_good(api, new["key"])
    listed = {one["id"]: one["expires_at"] for one in (await api.operator.get("/v1/api_keys")).json()["data"]}
    assert listed[new["id"]] is None and listed[old["id"]] is not None
    await pool.execute("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL")
    assert not await _is_good(api, old["key"]) and await _is_good(api, new["key"])
    assert (await api.operator.post(f"/v1/api_keys/{old['id']}/rotate", json={})).status_code == 404
    assert (await api.operator.delete(f"/v1/api_keys/{old['id']}")).status_code == 404


async def test_a_key_that_ends_soon_is_not_lengthened_by_a_rotation(api: Api, pool: Pool) -> None:
    old = await _key(api)
    for overlap in (60, 3600):
        await api.operator.post(f"/v1/api_keys/{old['id']}/rotate", json={"overlap_seconds": overlap})
    assert await pool.fetchval(
        "SELECT expires_at < now() + interval '2 minutes' FROM api_keys WHERE expires_at IS NOT NULL"
    )


async def test_a_rotation_gives_nothing_that_the_caller_does_not_have(api: Api) -> None:
    customer = await make_customer(api, "farm")
    strong = await _key(api, role="reseller", customer_id=customer, scopes=["usage:read", "customers:write"])
    owner = CustomerId(from_public_id("cus", customer))
    for role, scopes in ((Role.RESELLER, {"api_keys:write"}), (Role.CUSTOMER, {"*"})):
        weak = await api.client(Principal(role, owner, frozenset(scopes)))
        assert (await weak.post(f"/v1/api_keys/{strong['id']}/rotate", json={})).json()["code"] == "scope_missing"
    assert await _is_good(api, strong["key"])


async def test_the_last_use_is_noted_once_a_minute(api: Api, pool: Pool) -> None:
    key = await _key(api)
    assert key["last_used_at"] is None
    noted = "SELECT last_used_at FROM api_keys WHERE name = 'billing'"
    await _is_good(api, key["key"])
    first = await pool.fetchval(noted)
    assert first is not None
    await _is_good(api, key["key"])
    assert await pool.fetchval(noted) == first
    await pool.execute("UPDATE api_keys SET last_used_at = now() - interval '61 seconds'")
    await _is_good(api, key["key"])
    assert await pool.fetchval(noted) > first


def test_a_key_can_have_each_scope_that_something_needs() -> None:
    sources = Path(services.api.__file__ or "").parent.glob("*.py")
    needed = {scope for source in sources for scope in re.findall(r'(?:needs|may)\("([a-z_:]+)"\)', source.read_text())}
    assert needed and needed == set(get_args(Scope)) - {"*"}
