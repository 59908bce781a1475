"""One call that provisions: a customer, its domains and a credential; and what is taken back when a part of it fails."""

from shared.domain.access import Principal, Role
from shared.storage.engine import Pool
from tests.services.api.conftest import Api, make_customer

FARM = "/v1/customers/ext:42"
WHOLE = {"name": "Farm", "domains": ["farm.example", "barn.example"], "credential": True}


async def test_put_makes_it_all_and_twice_is_as_once(api: Api) -> None:
    made = (await api.operator.put(FARM, json=WHOLE)).json()
    assert [domain["name"] for domain in made["domains"]] == WHOLE["domains"]
    assert made["credential"]["secret"] and made["credential"]["customer_id"] == made["id"]
    again = await api.operator.put(FARM, json=WHOLE | {"domains": ["farm.example", "new.example"]})
    assert (again.status_code, again.json()["credential"]) == (200, None)
    assert [domain["name"] for domain in again.json()["domains"]] == ["new.example"]
    hosted = (await api.operator.get("/v1/domains", params={"customer_id": "ext:42"})).json()["data"]
    assert len(hosted) == 3


async def test_post_is_whole_or_not_at_all(api: Api, pool: Pool) -> None:
    await make_customer(api, "first")
    await api.operator.post("/v1/domains", json={"customer_id": "ext:x-first", "name": "taken.example"})
    body = WHOLE | {"external_id": "42", "domains": ["farm.example", "taken.example"]}
    refused = await api.operator.post("/v1/customers", json=body)
    assert refused.json()["code"] == "conflict" and "taken.example" in refused.json()["detail"]
    assert (await api.operator.get(FARM)).status_code == 404
    assert await pool.fetchval("SELECT count(*) FROM domains") == 1
    made = await api.operator.post("/v1/customers", json=body | {"domains": ["farm.example"]})
    assert made.status_code == 201 and made.json()["credential"]["secret"]
    types = [event["type"] for event in (await api.operator.get("/v1/events")).json()["data"]]
    assert types.count("customer.created") == 3 and types.count("customer.terminated") == 1


async def test_another_customers_domain_is_not_moved(api: Api) -> None:
    await make_customer(api, "first")
    await api.operator.post("/v1/domains", json={"customer_id": "ext:x-first", "name": "taken.example"})
    assert (await api.operator.put(FARM, json=WHOLE | {"domains": ["taken.example"]})).json()["code"] == "conflict"


async def test_each_part_needs_its_own_scope(api: Api) -> None:
    few = await api.client(Principal(Role.OPERATOR, None, frozenset({"customers:read", "customers:write"})))
    for part in ({"domains": ["farm.example"]}, {"credential": True}):
        refused = await few.post("/v1/customers", json={"name": "Farm", "external_id": "42", **part})
        assert refused.json()["code"] == "scope_missing"
        assert (await few.get(FARM)).status_code == 404
    assert (await few.post("/v1/customers", json={"name": "Farm", "external_id": "42"})).status_code == 201


async def test_put_by_the_id_of_one_that_is_there_changes_it_and_no_other_name_makes_one(api: Api) -> None:
    made = (await api.operator.put(FARM, json=WHOLE)).json()
    answer = await api.operator.put(f"/v1/customers/{made['id']}", json={"name": "Barn"})
    assert (answer.status_code, answer.json()["name"], answer.json()["external_id"]) == (200, "Barn", "42")
    for nobody in ("cus_" + "0" * 26, "farm", "ext:", "ext:a%01b", "ext:" + "x" * 201):
        assert (await api.operator.put(f"/v1/customers/{nobody}", json={"name": "Barn"})).status_code == 404, nobody
