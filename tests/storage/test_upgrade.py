"""Databases of earlier versions, as pg_dump wrote them down, brought to this one: nothing of them is lost. tests/data has them."""

import asyncio
import gzip
import json
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from localserve import postgres
from localserve.layout import Layout
from services.auth.seal import Seal
from services.auth.verifier import Channel, Proven, Verifier
from services.outbound.notifier import Notifier
from shared.domain.access import OPERATOR
from shared.domain.names import CustomerId, LeaseId, SessionId, domain_name
from shared.protocol.sasl import plain
from shared.protocol.sasl.transcript import Transcript
from shared.storage import schema
from shared.storage.credentials import Credentials
from shared.storage.customers import Customers
from shared.storage.domains import Domains
from shared.storage.engine import Pool, create_engine, create_pool
from shared.storage.messages import Filter, Messages
from shared.storage.notices import SYSTEM_CUSTOMER
from shared.storage.spool import Lease, Spool
from shared.storage.sweeps import ORPHANS, RESCUER, Sweeper
from shared.storage.throttle import AuthFailures
from shared.storage.uploads import CHUNK
from tests.data.filling import CLOCK, FOLDER, SEAL_KEY

DUMPS = sorted(FOLDER.glob("*.sql.gz"))


@pytest.fixture(params=DUMPS, ids=lambda path: path.name)
async def upgraded(
    request: pytest.FixtureRequest, postgres_url: str, root: Path
) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Loads a dump into a database of its own and upgrades it; gives the address and the dump's secrets."""
    path: Path = request.param
    name = f"dump_{path.name.partition('.')[0]}"
    await schema.create_database(f"{postgres_url}postgres", name)
    binaries, _, _ = postgres.prepare(Layout(root), "secret")
    await asyncio.to_thread(
        subprocess.run,
        [str(binaries / "psql"), "-q", "-X", "-v", "ON_ERROR_STOP=1", f"{postgres_url}{name}"],
        input=gzip.decompress(path.read_bytes()), check=True, capture_output=True, cwd="/", env={"LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    await schema.upgrade(f"{postgres_url}{name}")
    yield f"{postgres_url}{name}", json.loads((FOLDER / f"{path.name.partition('.')[0]}.json").read_text())
    admin = await create_pool(f"{postgres_url}postgres", size=1)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


def test_there_is_a_dump_of_this_version() -> None:
    """Whoever adds a migration runs `make dump`, too."""
    versions = sorted(
        path.name[:4] for path in Path(schema.__file__).with_name("migrations").glob("versions/[0-9]*.py")
    )
    assert versions[-1] == DUMPS[-1].name[:4]


async def test_nothing_is_lost_and_all_of_it_works(upgraded: tuple[str, dict[str, str]]) -> None:
    url, secrets = upgraded
    pool, engine = await create_pool(url), create_engine(url, size=2)
    try:
        await _states(pool)
        await _mail(pool)
        customers, domains = Customers(engine), Domains(engine)
        shop = await customers.find_external(OPERATOR, "shop")
        assert shop is not None and (shop.state, shop.suspended_for) == ("suspended", "not paid")
        domain = await domains.find_by_name(OPERATOR, domain_name("shop.example"))
        assert domain is not None and (domain.eight_bit, domain.unknown_recipients) == ("send", "reject")
        assert await domains.recipients_of(domain.id) == ["ann", "zoe"]
        assert len(await Messages(engine).page(OPERATOR, Filter(), None, 100)) == 8
        verifier = Verifier(Credentials(engine), AuthFailures(engine), Seal(SEAL_KEY), "mx", CLOCK.monotonic)
        for name in ("farm", "strict"):
            mechanism = "PLAIN" if name == "farm" else "SCRAM-SHA-256"
            credential = await Credentials(engine).find(name)
            assert credential is not None and mechanism in credential.mechanisms
        said = Transcript("PLAIN", plain.respond("farm", secrets["farm"].encode()))
        granted = await verifier.verify(said, Channel("s", "192.0.2.1", True))
        assert isinstance(granted, Proven) and granted.domains == ("farm.example",)
        assert (granted.credential.when_empty, granted.credential.aliases) == ("live", ("vm",))
    finally:
        await pool.close()
        await engine.dispose()


async def _states(pool: Pool) -> None:
    rows = await pool.fetch("SELECT domain, state, count(*) AS count FROM recipients GROUP BY 1, 2 ORDER BY 1, 2")
    assert [tuple(row) for row in rows] == [
        ("farm.example", "delivered", 1),
        ("farm.example", "failed", 1),
        ("farm.example", "held", 1),
        ("farm.example", "leased", 1),
        ("farm.example", "queued", 3),
        ("shop.example", "queued", 3),
    ]
    counted = await pool.fetchval("SELECT sum(amount) FROM usage_buckets WHERE meter = 'messages_received'")
    assert counted == 10 and await pool.fetchval("SELECT count(*) FROM events") >= 14


async def _mail(pool: Pool) -> None:
    """The lease of the dump's session is long over: its row comes back, and all that is due can be had."""
    await pool.execute("UPDATE leases SET leased_until = now()")
    sweeper = Sweeper(pool)
    assert await sweeper.run(RESCUER) == 1
    await pool.execute("UPDATE uploads SET expires_at = now()")
    assert await sweeper.run(ORPHANS) == 1
    customer = CustomerId(await pool.fetchval("SELECT id FROM customers WHERE external_id = 'farm'"))
    lease = Lease(LeaseId(CLOCK.new_id()), SessionId(CLOCK.new_id()), customer)
    spool = Spool(pool)
    assert await spool.open_lease(lease, timedelta(seconds=30))
    rows = await spool.lease(lease, ["farm.example"], 10, with_back_off=True)
    assert len(rows) == 4
    [large] = [row for row in rows if row.forward_path == "large@farm.example"]
    content = b"".join([chunk async for chunk in spool.content(large.message_id, large.size)])
    assert len(content) == CHUNK + 100 and content.endswith(b"y\r\n")
    assert await Notifier(pool, CLOCK, "mx.provider.example", 600, 50).tell() == 1  # of the row that failed
    [notice] = await pool.fetch("SELECT forward_path FROM recipients WHERE customer_id = $1", SYSTEM_CUSTOMER)
    assert notice["forward_path"] == "sender@remote.example"
