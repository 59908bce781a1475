"""What a billing system does with a customer, from the first payment to the last; plans and their limits; usage."""

from datetime import UTC, datetime

import pytest

from services.inbound.quotas import Quotas
from shared.clock import Clock
from shared.domain.access import Principal, Role
from shared.domain.lease import LEASE_TIME
from shared.domain.names import CustomerId, LeaseId, SessionId, from_public_id, public_id
from shared.storage.accept import Acceptor
from shared.storage.engine import Pool
from shared.storage.hosted import HostedDomains
from shared.storage.sessions import Sessions, TurnedSession
from shared.storage.spool import Lease, Spool
from shared.storage.sweeps import ABSENT, ALL, PURGE, PURGED, RESUME, ROLL_UP, Sweeper
from tests.services.api.conftest import Api, make_customer
from tests.storage.seeding import Seed, seed

EVERYTHING = frozenset({"*"})
FARM = "/v1/customers/ext:42"


async def _accept(pool: Pool, customer: Seed, count: int = 1) -> None:
    acceptor = Acceptor(pool)
    acceptor.start()
    for _ in range(count):
        await acceptor.accept(customer.message(b"Subject: x\r\n\r\nbody\r\n"))
    await acceptor.close()


async def test_a_customer_is_put_twice_and_changed_once(api: Api) -> None:
    plan = (await api.operator.post("/v1/plans", json={"name": "small"})).json()
    body = {"name": "Farm", "plan_id": "small", "metadata": {"order": "17"}}
    made = await api.operator.put(FARM, json=body)
    assert (made.status_code, made.json()["plan_id"], made.json()["metadata"]) == (201, plan["id"], {"order": "17"})
    again = await api.operator.put(FARM, json=body)
    assert (again.status_code, again.json()) == (200, made.json())
    other = await api.operator.put(FARM, json={"name": "Farm & sons"})
    assert (other.json()["id"], other.json()["name"], other.json()["plan_id"]) == (
        made.json()["id"],
        "Farm & sons",
        None,
    )
    wrong = await api.operator.put(FARM, json={"name": "x", "plan_id": "none such"})
    assert wrong.json()["code"] == "invalid_value" and "none such" in wrong.json()["detail"]
    assert (await api.operator.patch(FARM, json={"plan_id": plan["id"]})).json()["plan_id"] == plan["id"]
    assert (await api.operator.patch(FARM, json={"plan_id": None})).json()["plan_id"] is None


async def test_what_senders_hear_while_it_is_suspended(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    path, hosted = f"/v1/customers/{public_id('cus', customer.customer_id)}", HostedDomains(pool)
    for receiving in ("hold", "tempfail", "reject"):
        answer = await api.operator.post(f"{path}/suspend", json={"reason": "not paid", "receiving": receiving})
        assert answer.json()["receiving"] == receiving
        found = await hosted.find("demo.example", "u")
        assert found is not None and found.receiving == receiving
    await api.operator.post(f"{path}/resume")
    found = await hosted.find("demo.example", "u")
    assert found is not None and found.receiving == "hold"


async def test_a_suspension_ends_by_itself(api: Api, pool: Pool) -> None:
    sweeper = Sweeper(pool)
    await api.operator.put(FARM, json={"name": "Farm"})
    body = {"reason": "not paid", "until": "2099-01-01T00:00:00Z"}
    assert (await api.operator.post(f"{FARM}/suspend", json=body)).json()["resume_at"] == body["until"]
    assert await sweeper.run(RESUME) == 0
    await pool.execute("UPDATE customers SET resume_at = now()")
    assert [await sweeper.run(RESUME) for _ in range(2)] == [1, 0]
    shown = (await api.operator.get(FARM)).json()
    assert (shown["state"], shown["suspended_for"], shown["resume_at"]) == ("active", "", None)
    await api.operator.post(f"{FARM}/suspend", json=body)
    await api.operator.post(f"{FARM}/resume")
    assert (await api.operator.get(FARM)).json()["resume_at"] is None
    events = (await api.operator.get("/v1/events", params={"type": "customer.resumed"})).json()["data"]
    assert [event["data"]["detail"] for event in events] == ["the suspension is over", ""]
    one = events[0]
    assert (await api.operator.get(f"/v1/events/{one['id']}")).json() == one
    await pool.execute(
        "UPDATE events SET id = gen_random_uuid() WHERE detail = 'the suspension is over'"
    )  # as 0004 had them
    [old] = [e for e in (await api.operator.get("/v1/events")).json()["data"] if "over" in e["data"]["detail"]]
    assert (await api.operator.get(f"/v1/events/{old['id']}")).json() == old
    assert (await api.operator.get(f"/v1/events/{one['id']}")).status_code == 404


async def test_a_terminated_customers_mail_is_deleted_after_a_time(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    await _accept(pool, customer, 3)
    path = f"/v1/customers/{public_id('cus', customer.customer_id)}"
    holdings = {"domains": 1, "credentials": 1, "messages": 3, "bytes": 60}
    dry = (await api.operator.post(f"{path}/terminate", json={"dry_run": True})).json()
    assert dry["dry_run"] and dry["customer"]["state"] == "active" and dry["holdings"].items() >= holdings.items()
    for _ in range(2):
        done = await api.operator.post(f"{path}/terminate", json={"purge_after_days": 3})
        assert (done.status_code, done.json()["customer"]["state"]) == (200, "terminated")
    assert await HostedDomains(pool).find("demo.example", "u") is None
    assert await pool.fetchval("SELECT count(*) FROM credentials WHERE revoked_at IS NULL") == 0
    for verb, body in (("suspend", {"reason": "x"}), ("resume", None)):
        assert (await api.operator.post(f"{path}/{verb}", json=body)).json()["code"] == "conflict"
    assert (await api.operator.patch(path, json={"name": "x"})).json()["code"] == "conflict"
    body = {"customer_id": public_id("cus", customer.customer_id), "name": "new.example"}
    assert (await api.operator.post("/v1/domains", json=body)).json()["code"] == "conflict"
    sweeper = Sweeper(pool)
    assert await sweeper.run(PURGE) == await sweeper.run(PURGED) == 0
    await pool.execute("UPDATE customers SET purge_at = now()")
    assert (await sweeper.run(PURGE), await sweeper.run(PURGED), await sweeper.run(PURGED)) == (3, 1, 0)
    assert {row["state"] for row in await pool.fetch("SELECT state FROM recipients")} == {"deleted"}
    assert await pool.fetchval("SELECT count(*) FROM domains") == 0


async def test_a_plan_bounds_domains_sessions_and_what_waits(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    limits = {"max_domains": 2, "max_messages": 3, "max_sessions": 1, "retention_days": 5}
    assert (await api.operator.post("/v1/plans", json={"name": "small", **limits})).status_code == 201
    customer_id = public_id("cus", customer.customer_id)
    await api.operator.patch(f"/v1/customers/{customer_id}", json={"plan_id": "small"})
    for name, status, code in (("two.example", 201, None), ("three.example", 409, "limit_reached")):
        answer = await api.operator.post("/v1/domains", json={"customer_id": customer_id, "name": name})
        assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert "2 domains" in answer.json()["detail"]
    spool = Spool(pool)
    leases = [Lease(LeaseId(Clock().new_id()), SessionId(Clock().new_id()), customer.customer_id) for _ in range(2)]
    assert [await spool.open_lease(lease, LEASE_TIME) for lease in leases] == [True, False]
    hosted = HostedDomains(pool)
    domain = await hosted.find("two.example", "u")
    assert domain is not None and not await Quotas(hosted, Clock()).is_full(domain)
    await _accept(pool, customer, 3)  # for the other domain: a plan is a customer's
    assert await Quotas(hosted, Clock()).is_full(domain)
    await api.operator.patch("/v1/plans/small", json={"max_messages": None, "max_bytes": 60})
    domain = await hosted.find("two.example", "u")
    assert domain is not None and await Quotas(hosted, Clock()).is_full(domain)


async def test_a_plan_is_made_changed_and_removed(api: Api) -> None:
    made = (await api.operator.post("/v1/plans", json={"name": "small", "max_bytes": 1 << 30})).json()
    assert made["id"].startswith("plan_") and made["retention_days"] == 14
    assert (await api.operator.post("/v1/plans", json={"name": "small"})).json()["code"] == "conflict"
    assert (await api.operator.get("/v1/plans/small")).json() == made
    assert (await api.operator.patch("/v1/plans/small", json={})).json() == made
    changed = (await api.operator.patch(f"/v1/plans/{made['id']}", json={"max_bytes": None, "name": "tiny"})).json()
    assert changed == {**made, "max_bytes": None, "name": "tiny"}
    await api.operator.put(FARM, json={"name": "Farm", "plan_id": "tiny"})
    assert (await api.operator.delete("/v1/plans/tiny")).json()["code"] == "conflict"
    await api.operator.patch(FARM, json={"plan_id": None})
    assert (await api.operator.delete("/v1/plans/tiny")).status_code == 204
    assert (await api.operator.get("/v1/plans")).json()["data"] == []
    for wrong in ({"retention_days": 3}, {"max_domains": 0}, {"max_sessions": 21}, {"max_bytes": -1}):
        assert (await api.operator.post("/v1/plans", json={"name": "x", **wrong})).json()["code"] == "validation_failed"


async def test_a_reseller_has_plans_of_its_own(api: Api) -> None:
    await api.operator.post("/v1/plans", json={"name": "ours"})
    reseller_id = CustomerId(from_public_id("cus", await make_customer(api, "reseller")))
    reseller = await api.client(Principal(Role.RESELLER, reseller_id, EVERYTHING))
    await reseller.post("/v1/plans", json={"name": "theirs"})
    assert {plan["name"] for plan in (await reseller.get("/v1/plans")).json()["data"]} == {"ours", "theirs"}
    assert (await reseller.patch("/v1/plans/ours", json={"max_domains": 1})).json()["code"] == "scope_missing"
    assert (await reseller.patch("/v1/plans/theirs", json={"max_domains": 1})).status_code == 200
    mine = (await reseller.put(FARM, json={"name": "Farm", "plan_id": "theirs"})).json()["id"]
    customer = await api.client(Principal(Role.CUSTOMER, CustomerId(from_public_id("cus", mine)), EVERYTHING))
    assert [plan["name"] for plan in (await customer.get("/v1/plans")).json()["data"]] == ["theirs"]
    assert (await customer.get("/v1/plans/ours")).status_code == 404
    assert (await customer.post("/v1/plans", json={"name": "x"})).json()["code"] == "scope_missing"
    other_id = CustomerId(from_public_id("cus", await make_customer(api, "another")))
    other = await api.client(Principal(Role.RESELLER, other_id, EVERYTHING))
    assert (await other.get("/v1/plans/theirs")).status_code == 404


async def _turn(pool: Pool, customer: Seed) -> SessionId:
    session = SessionId(Clock().new_id())
    domains = ("demo.example",)
    turned = TurnedSession(session, customer.customer_id, customer.credential_id, "192.0.2.1", True, "PLAIN", domains)
    await Sessions(pool).turned(turned)
    return session


async def test_one_that_is_expected_and_does_not_come_is_absent(api: Api, database_url: str, pool: Pool) -> None:
    customer, sweeper = await seed(database_url), Sweeper(pool)
    path = f"/v1/customers/{public_id('cus', customer.customer_id)}"
    await api.operator.patch(path, json={"expected_every_seconds": 3600})
    assert await sweeper.run(ABSENT) == 0
    await pool.execute("UPDATE customers SET created_at = now() - interval '2 hours'")
    assert [await sweeper.run(ABSENT) for _ in range(2)] == [1, 0]
    assert (await api.operator.get(path)).json()["absent_since"] is not None
    session = await _turn(pool, customer)
    status = (await api.operator.get(f"{path}/status")).json()
    assert status["is_connected"] and status["last_session_at"] is not None
    assert (await api.operator.get(path)).json()["absent_since"] is None
    await Sessions(pool).ended(session, 0, 0, "the queue is empty")
    assert await sweeper.run(ABSENT) == 0
    await pool.execute(
        "UPDATE sessions SET started_at = now() - interval '3 hours', ended_at = now() - interval '2 hours'"
    )
    assert await sweeper.run(ABSENT) == 1
    types = [event["type"] for event in (await api.operator.get("/v1/events")).json()["data"]]
    assert [one for one in types if "absent" in one or "return" in one] == [
        "customer.absent", "customer.returned", "customer.absent",
    ]  # fmt: skip


async def test_usage_is_listed_summed_and_adjusted(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    await _accept(pool, customer, 2)
    await Sessions(pool).ended(await _turn(pool, customer), 0, 0, "x")
    customer_id = public_id("cus", customer.customer_id)
    own = await api.client(Principal(Role.CUSTOMER, customer.customer_id, EVERYTHING))
    seen: dict[str, set[str]] = {}
    for _ in range(2):  # before the roll-up, and after it
        for granularity in ("hour", "day", "month"):
            rows = (await own.get("/v1/usage", params={"granularity": granularity})).json()["data"]
            counted = {row["meter"]: row["amount"] for row in rows}
            assert (
                counted.items() >= {"messages_received": 2, "bytes_received": 40}.items()
                and counted["session_seconds"] <= 2
            )
            assert not any(row["final"] for row in rows) and {row["domain"] for row in rows} == {"demo.example", None}
            assert seen.setdefault(granularity, {row["id"] for row in rows}) == {row["id"] for row in rows}
        await Sweeper(pool).run(ROLL_UP)
    assert len({one for ids in seen.values() for one in ids}) == 9
    await pool.execute("UPDATE usage_buckets SET hour = '2026-01-02 03:00Z'")
    rows = (await own.get("/v1/usage", params={"granularity": "hour", "meter": "bytes_received"})).json()["data"]
    assert [(row["start"], row["end"], row["final"]) for row in rows] == [
        ("2026-01-02T03:00:00Z", "2026-01-02T04:00:00Z", True)
    ]
    batch = (await own.get("/v1/usage/events")).json()["data"]
    assert {event["type"] for event in batch} == {
        f"odmr.usage.{x}" for x in ("messages_received", "bytes_received", "session_seconds")
    }
    assert {event["subject"] for event in batch} == {"demo.example"} and rows[0]["id"] in {
        event["id"] for event in batch
    }
    body = {
        "customer_id": customer_id,
        "meter": "bytes_received",
        "at": "2026-01-02T03:30:00Z",
        "amount": -15,
        "reason": "spam",
    }
    adjusted = (await api.operator.post("/v1/usage/adjustments", json=body)).json()
    assert adjusted["hour"] == "2026-01-02T03:00:00Z"
    assert (await own.get("/v1/usage/adjustments")).json()["data"] == [adjusted]
    assert (await own.post("/v1/usage/adjustments", json=body)).json()["code"] == "scope_missing"
    assert (await api.operator.post("/v1/usage/adjustments", json={**body, "amount": 0})).json()[
        "code"
    ] == "validation_failed"
    summary = (await api.operator.get("/v1/usage/summary", params={"period": "2026-01"})).json()
    [one] = [row for row in summary["data"] if row["customer_id"] == customer_id]
    assert (
        one["meters"].items()
        >= {"bytes_received": 40, "stored_messages": 2, "stored_bytes": 40, "active_domains": 1}.items()
    )
    assert one["adjustments"] == {"bytes_received": -15} and summary["end"] == "2026-02-01T00:00:00Z"
    empty = (await api.operator.get("/v1/usage/summary", params={"period": "2025-12"})).json()["data"][0]
    assert "bytes_received" not in empty["meters"] and not empty["adjustments"]
    assert {meter["name"] for meter in (await own.get("/v1/meters")).json()["data"]} >= set(one["meters"])


async def test_usage_goes_on_by_cursor(api: Api, database_url: str, pool: Pool) -> None:
    customers = [await seed(database_url, f"{name}.example") for name in ("a", "b", "c")]
    for hour in range(4):
        for customer in customers:
            await pool.execute(
                "INSERT INTO usage_buckets VALUES ($1, $2, 'bytes_received', $3, 1)",
                customer.customer_id, customer.domain_id, datetime(2026, 1, 2, hour, tzinfo=UTC),
            )  # fmt: skip
    seen: list[tuple[str, str]] = []
    cursor = None
    while True:
        params: dict[str, str] = {"granularity": "hour", "limit": "5", **({"cursor": cursor} if cursor else {})}
        page = (await api.operator.get("/v1/usage", params=params)).json()
        seen += [(row["start"], row["domain"]) for row in page["data"]]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break
    assert len(seen) == len(set(seen)) == 12 and [start for start, _ in seen] == sorted(
        (x for x, _ in seen), reverse=True
    )
    for wrong in ("x", "eA==", "MjAyNi0wMS0wMiAx"):
        assert (await api.operator.get("/v1/usage", params={"cursor": wrong})).json()["code"] == "validation_failed"


def test_every_sweep_has_a_lock_of_its_own() -> None:
    assert len({sweep.lock for sweep in ALL}) == len({sweep.name for sweep in ALL}) == len(ALL)


@pytest.mark.parametrize(
    "wrong", [{"metadata": {"": "x"}}, {"metadata": {"x": "y" * 501}}, {"expected_every_seconds": 59}]
)
async def test_a_wrong_customer_is_told_what_is_wrong(api: Api, wrong: dict[str, object]) -> None:
    assert (await api.operator.put(FARM, json={"name": "x", **wrong})).json()["code"] == "validation_failed"
