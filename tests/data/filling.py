"""`make dump`: a database in which everything has happened once, written down as SQL by pg_dump.

The dump is committed and named by the version of its schema; tests/storage/test_upgrade.py loads each that there is and
brings it to the newest. A later version adds its own and leaves the old ones alone.
"""

import asyncio
import gzip
import hashlib
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from localserve import postgres
from localserve.layout import Layout, temporary_root
from services.auth.keyring import Keyring
from services.auth.minter import Minter
from services.auth.seal import Seal
from shared.bus import payloads
from shared.clock import Clock
from shared.domain.access import OPERATOR, Principal, Role
from shared.domain.disposition import Deferred, Delivered, Disposition, Failed, Held
from shared.domain.message import Message, Recipient
from shared.domain.names import (
    CredentialId,
    CustomerId,
    DomainId,
    LeaseId,
    MessageId,
    RecipientId,
    SessionId,
    domain_name,
)
from shared.storage.accept import Acceptor
from shared.storage.api_keys import ApiKeys
from shared.storage.audit import AuditLog
from shared.storage.credentials import Credentials
from shared.storage.customers import Customer, Customers
from shared.storage.domains import Domain, Domains
from shared.storage.engine import Engine, Pool, create_engine, create_pool
from shared.storage.event_log import START, EventLog
from shared.storage.idempotency import IdempotencyKeys
from shared.storage.plans import Plans
from shared.storage.sessions import Sessions, TurnedSession
from shared.storage.spool import Lease, Spool
from shared.storage.sweeps import ROLL_UP, Sweeper
from shared.storage.throttle import AuthFailures
from shared.storage.uploads import CHUNK, Uploads
from shared.storage.usage import Usage
from shared.storage.webhooks import Webhooks
from tests.postgres import serving

FOLDER = Path(__file__).parent
#: Under which the secrets of the dump are sealed; theirs is no secret.
SEAL_KEY = b"the seal key of a committed dump"
CLOCK = Clock()
HOUR = datetime(2026, 1, 2, 3, tzinfo=UTC)


def _message(domain: Domain, content: bytes | None, size: int, *paths: str) -> Message:
    return Message(
        MessageId(CLOCK.new_id()),
        "sender@remote.example",
        tuple(
            Recipient(
                RecipientId(CLOCK.new_id()),
                domain.customer_id,
                domain.id,
                domain.name,
                f"{path}@{domain.name}",
                "NOTIFY=FAILURE",
            )
            for path in paths
        ),
        size,
        hashlib.sha256(content or b"").digest(),
        has_eight_bit=bool(content and not content.isascii()),
        helo="remote.example",
        peer="192.0.2.1",
        dsn_parameters="RET=HDRS ENVID=q1",
        content=content,
    )


async def fill(url: str) -> dict[str, str]:
    """Does everything once; gives the credentials' secrets."""
    minted: dict[str, str] = {}
    engine, pool = create_engine(url), await create_pool(url)
    customers, domains = Customers(engine), Domains(engine)
    farm = await customers.create(OPERATOR, CustomerId(CLOCK.new_id()), {"name": "Farm", "external_id": "farm"})
    shop = await customers.create(OPERATOR, CustomerId(CLOCK.new_id()), {"name": "Shop", "external_id": "shop"})
    await customers.suspend(shop, "not paid", "tempfail", None)
    domain = await domains.create(DomainId(CLOCK.new_id()), farm.id, domain_name("farm.example"))
    domain = await domains.change(domain, {"learn_refusals_seconds": 86_400, "priority": 5})
    other = await domains.create(DomainId(CLOCK.new_id()), shop.id, domain_name("shop.example"))
    await domains.change(
        other, {"unknown_recipients": "reject", "eight_bit": "send", "retention_days": 30, "max_messages": 1000}
    )
    await domains.set_recipients(other.id, ["ann", "zoe"])
    minter = Minter(Credentials(engine), Keyring(Seal(SEAL_KEY)), CLOCK)
    for request in (
        payloads.MintRequest("r", str(farm.id), "farm", when_empty="live", aliases=("vm",)),
        payloads.MintRequest("r", str(farm.id), "strict", mechanisms=("SCRAM-SHA-256",)),
        payloads.MintRequest("r", str(farm.id), "bounded", allowed_domains=("farm.example",)),
        payloads.MintRequest("r", str(shop.id), "certified", certificate=b"a certificate"),
    ):
        made = await minter.mint(request)
        minted[made.authcid] = made.secret
    credential = await Credentials(engine).find("farm")
    assert credential is not None
    everything = frozenset({"*"})
    await ApiKeys(engine).add(CLOCK.new_id(), "operator", "odmr_a", hashlib.sha256(b"odmr_a").digest(), OPERATOR)
    reseller = Principal(Role.RESELLER, farm.id, everything)
    await ApiKeys(engine).add(CLOCK.new_id(), "reseller", "odmr_b", hashlib.sha256(b"odmr_b").digest(), reseller)
    await AuthFailures(engine).failed("192.0.2.9", "farm")

    await _bill(engine, farm)
    await _accept(pool, domain, other)
    await _deliver(pool, farm.id, credential.id)
    await pool.close()
    await engine.dispose()
    return minted


async def _bill(engine: Engine, farm: Customer) -> None:
    """A plan, an adjustment, a request that was kept, a line of the audit log, and an endpoint with a delivery."""
    plan = await Plans(engine).create(
        OPERATOR,
        CLOCK.new_id(),
        {"name": "small", "retention_days": 30, "max_domains": 5, "max_message_bytes": 1 << 20},
    )
    await Customers(engine).change(farm, {"plan_id": plan.id, "metadata": {"order": "17"}})
    [key] = await ApiKeys(engine).page(Principal(Role.CUSTOMER, farm.id, frozenset()), None, 1)
    adjusted = {"customer_id": farm.id, "meter": "bytes_received", "hour": HOUR, "amount": -5, "reason": "spam"}
    await Usage(engine).adjust(CLOCK.new_id(), key.id, adjusted)
    kept = IdempotencyKeys(engine)
    await kept.begin(key.id, "order-17", b"x" * 32)
    await kept.keep(key.id, "order-17", 201, b"sealed")
    await AuditLog(engine).add(CLOCK.new_id(), key.id, "POST", "/v1/domains", 201, "req_1", "192.0.2.1")
    reseller, log, hooks = (
        Principal(Role.RESELLER, farm.id, frozenset({"*"}), key.id),
        EventLog(engine),
        Webhooks(engine),
    )
    await hooks.create(reseller, CLOCK.new_id(), "https://hook.example.org/", ["customer.created"], b"sealed", START)
    await hooks.fan_out(log, lambda event: event.type)


async def _accept(pool: Pool, domain: Domain, other: Domain) -> None:
    """Small, 8-bit and large content, for one and for many; and an upload that nobody accepted."""
    acceptor = Acceptor(pool)
    acceptor.start()
    for content, paths in (
        (b"Subject: one\r\n\r\nplain\r\n", ("you",)),
        ("Subject: two\r\n\r\nGrüße\r\n".encode(), ("you", "her")),
        (b"Subject: three\r\n\r\n.dots\r\n..\r\n", ("you", "her", "them")),
    ):
        await acceptor.accept(_message(domain, content, len(content), *paths))
        await acceptor.accept(_message(other, content, len(content), "ann"))
    large = _message(domain, None, CHUNK + 100, "large")
    for seq, chunk in enumerate((b"x" * (CHUNK - 2) + b"\r\n", b"y" * 98 + b"\r\n")):
        await Uploads(pool).add(large.id, seq, chunk)
    await acceptor.accept(large)
    await Uploads(pool).add(MessageId(CLOCK.new_id()), 0, b"never accepted\r\n")
    await acceptor.close()


async def _deliver(pool: Pool, customer_id: CustomerId, credential_id: CredentialId) -> None:
    """A session that runs still: each disposition once, and a row that is leased."""
    lease = Lease(LeaseId(CLOCK.new_id()), SessionId(CLOCK.new_id()), customer_id)
    spool, sessions = Spool(pool), Sessions(pool)
    await spool.open_lease(lease, timedelta(hours=1))
    await sessions.turned(
        TurnedSession(
            lease.session_id, customer_id, credential_id, "192.0.2.7", True, "SCRAM-SHA-256", ("farm.example",), True
        )
    )
    rows = await spool.lease(lease, ["farm.example"], 5, with_back_off=True)
    outcomes: tuple[Disposition, ...] = (
        Delivered("250 ok"),
        Deferred("451 later", timedelta(hours=1)),
        Failed("550 5.1.1 no such user"),
        Held("needs 8BITMIME"),
    )
    await spool.settle(lease, [(row.id, outcome) for row, outcome in zip(rows, outcomes, strict=False)])
    await Sweeper(pool).run(ROLL_UP)


async def dump() -> None:
    """Writes tests/data/VERSION.sql.gz, and its secrets beside it."""
    with temporary_root("odmr-dump-") as root:
        async with serving(root, "dump") as server:
            minted = await fill(f"{server}dump")
            pool = await create_pool(f"{server}dump", size=1)
            version = await pool.fetchval("SELECT version_num FROM alembic_version")
            await pool.close()
            binaries, _, _ = postgres.prepare(Layout(root), "secret")
            done = await asyncio.to_thread(
                subprocess.run,
                [str(binaries / "pg_dump"), "--inserts", "--no-owner", "--no-privileges", f"{server}dump"],
                capture_output=True, text=True, check=True, cwd="/", env={"LC_ALL": "C.UTF-8"},
            )  # fmt: skip
    (FOLDER / f"{version}.sql.gz").write_bytes(gzip.compress(done.stdout.encode(), mtime=0))
    (FOLDER / f"{version}.json").write_text(json.dumps(minted, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(dump())
