"""What an operator asks first, and nobody else may."""

from shared.domain.access import Principal, Role
from shared.domain.names import CustomerId, from_public_id
from shared.storage.diagnostics import newest_schema
from tests.services.api.conftest import Api
from tests.waiting import until


async def test_an_operator_sees_the_parts(api: Api) -> None:
    async def is_connected() -> bool:
        return bool((await api.operator.get("/v1/diagnostics")).json()["bus_connected"])

    await until(is_connected, 10)
    found = (await api.operator.get("/v1/diagnostics")).json()
    assert found["schema_version"] == found["schema_wanted"] == newest_schema() > "0005"
    assert found["database_bytes"] > 1_000_000 and int(found["database_version"].partition(".")[0]) >= 15
    assert (found["sessions"], found["webhooks_disabled"]) == (0, 0)


async def test_nobody_else_does(api: Api) -> None:
    made = (await api.operator.post("/v1/customers", json={"name": "Farm"})).json()
    customer_id = CustomerId(from_public_id("cus", made["id"]))
    for role in (Role.RESELLER, Role.CUSTOMER):
        other = await api.client(Principal(role, customer_id, frozenset({"*"})))
        assert (await other.get("/v1/diagnostics")).status_code == 404
    assert (await api.stranger.get("/v1/diagnostics")).status_code == 401
