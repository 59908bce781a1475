"""What waits, as operators see it."""

from services.outbound.figures import count
from shared.metrics import REGISTRY
from shared.storage.engine import Pool
from tests.storage.seeding import seed
from tests.storage.test_spool import fill


async def test_what_waits_by_state_and_the_age_of_the_oldest(database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    await fill(pool, customer, 3)
    await pool.execute(
        "UPDATE recipients SET state = 'held', received_at = now() - interval '1 hour' "
        "WHERE id = (SELECT min(id::text)::uuid FROM recipients)"
    )
    await count(pool)

    def now(name: str, state: str) -> float:
        return REGISTRY.get_sample_value(f"odmr_queue_{name}", {"state": state}) or 0.0

    assert [now("messages", state) for state in ("queued", "held", "leased")] == [2, 1, 0]
    assert now("bytes", "queued") == 2 * now("bytes", "held") > 0
    assert 3600 <= now("oldest_age_seconds", "held") < 3700 and now("oldest_age_seconds", "queued") < 100
    await pool.execute("UPDATE recipients SET state = 'delivered', settled_at = now()")
    await count(pool)
    assert [now("messages", state) for state in ("queued", "held")] == [0, 0] and now("oldest_age_seconds", "held") == 0
    assert (REGISTRY.get_sample_value("odmr_database_bytes") or 0) > 1_000_000
