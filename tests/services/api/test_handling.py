"""What an operator does with messages, notices of our own, and usage."""

import pytest

from services.outbound.notifier import Notifier
from shared.domain.access import Principal, Role
from shared.domain.names import public_id
from shared.storage.engine import Pool
from shared.storage.sweeps import RELEASE, ROLL_UP, Sweeper
from tests.services.api.conftest import Api
from tests.storage.seeding import CLOCK, seed
from tests.storage.test_notices import accept, fail

HANDLED = [
    ("hold", {"queued": "held", "leased": "held", "held": "held"}),
    ("release", {"held": "queued"}),
    ("retry", {"queued": "queued"}),
    ("bounce", {"queued": "failed", "held": "failed"}),
    ("delete", {"queued": "deleted", "held": "deleted"}),
]


@pytest.mark.parametrize(("verb", "moves"), HANDLED)
async def test_what_an_operator_does_with_a_message(
    api: Api, database_url: str, pool: Pool, verb: str, moves: dict[str, str]
) -> None:
    """From each state: what moves on moves on, with a reason in its timeline; what is over or on its way stays."""
    customer = await seed(database_url)
    lease = customer.lease()
    for state in ("queued", "leased", "held", "delivered", "failed", "expired", "deleted"):
        message = customer.message(recipients=2)
        await accept(pool, message)
        is_over = state in ("delivered", "failed", "expired", "deleted")
        await pool.execute(
            "UPDATE recipients SET state = $1, lease_id = $2, settled_at = $3, next_at = now() + interval '1 hour' WHERE message_id = $4",
            state, lease.id if state == "leased" else None, CLOCK.now() if is_over else None, message.id,
        )  # fmt: skip
        path = f"/v1/messages/{public_id('msg', message.id)}"
        answer = await api.operator.post(f"{path}/{verb}", json={"reason": "because"})
        assert (answer.status_code, answer.json()) == (200, {"recipients": 2 if state in moves else 0}), (verb, state)
        shown = (await api.operator.get(path)).json()
        assert {one["state"] for one in shown["recipients"]} == {moves.get(state, state)}
        told = [moment for moment in shown["timeline"] if moment["type"] != "message.received"]
        assert len(told) == (2 if state in moves else 0) and all("because" in moment["detail"] for moment in told)
    assert await pool.fetchval("SELECT count(*) FROM recipients WHERE state = 'failed' AND is_dsn_due") == (
        4 if verb == "bounce" else 0
    )
    if verb in ("release", "retry"):
        assert await pool.fetchval("SELECT count(*) FROM recipients WHERE state = 'queued' AND next_at > now()") == (
            2 if verb == "release" else 0
        )


async def test_a_message_is_handled_by_who_may_see_it(api: Api, database_url: str, pool: Pool) -> None:
    customer, stranger = await seed(database_url), await seed(database_url, "stranger.example")
    message = customer.message()
    await accept(pool, message)
    path = f"/v1/messages/{public_id('msg', message.id)}"
    own = await api.client(
        Principal(Role.CUSTOMER, customer.customer_id, frozenset({"messages:read", "messages:write"}))
    )
    reads = await api.client(Principal(Role.CUSTOMER, customer.customer_id, frozenset({"messages:read"})))
    foreign = await api.client(Principal(Role.CUSTOMER, stranger.customer_id, frozenset({"*"})))
    assert (await foreign.post(f"{path}/delete", json={"reason": "x"})).status_code == 404
    assert (await reads.post(f"{path}/delete", json={"reason": "x"})).json()["code"] == "scope_missing"
    for wrong in (
        {},
        {"reason": ""},
        {"reason": "a\r\nb"},
        {"reason": "x", "seconds": 0},
        {"reason": "x", "seconds": 99999999},
    ):
        assert (await own.post(f"{path}/hold", json=wrong)).json()["code"] == "validation_failed"
    assert (await own.post(f"{path}/hold", json={"reason": "x", "seconds": 1})).json() == {"recipients": 1}
    await pool.execute("UPDATE recipients SET held_until = now()")
    assert await Sweeper(pool).run(RELEASE) == 1
    assert await pool.fetchval("SELECT state FROM recipients") == "queued"


async def test_usage_is_summed_before_and_after_the_roll_up(api: Api, database_url: str, pool: Pool) -> None:
    customer, other = await seed(database_url), await seed(database_url, "other.example")
    await accept(pool, customer.message(recipients=2), other.message())
    own = await api.client(Principal(Role.CUSTOMER, customer.customer_id, frozenset({"usage:read"})))
    owner = public_id("cus", customer.customer_id)
    size = customer.message().size
    wanted = [("demo.example", "bytes_received", 2 * size), ("demo.example", "messages_received", 2)]
    for _ in range(2):
        rows = (await own.get("/v1/usage")).json()["data"]
        assert [(row["domain"], row["meter"], row["amount"]) for row in rows] == wanted
        assert {row["customer_id"] for row in rows} == {owner}
        await Sweeper(pool).run(ROLL_UP)
    assert (await own.get("/v1/usage", params={"until": "2020-01-01T00:00:00Z"})).json()["data"] == []
    assert len((await api.operator.get("/v1/usage", params={"since": "2020-01-01T00:00:00Z"})).json()["data"]) == 4
    assert (await own.get("/v1/usage", params={"customer_id": public_id("cus", other.customer_id)})).status_code == 404


async def test_our_own_mail_is_the_operators_to_see(api: Api, database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    await accept(pool, customer.message())
    await fail(pool)
    await Notifier(pool, CLOCK, "mx.example", 600, 50).tell()
    [dsn] = (await api.operator.get("/v1/messages", params={"domain": "remote.example"})).json()["data"]
    assert dsn["reverse_path"] == "" and dsn["recipients"][0]["forward_path"] == "a@remote.example"
    own = await api.client(Principal(Role.CUSTOMER, customer.customer_id, frozenset({"*"})))
    assert (await own.get(f"/v1/messages/{dsn['id']}")).status_code == 404
    assert (await own.get("/v1/messages", params={"domain": "remote.example"})).json()["data"] == []
