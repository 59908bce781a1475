"""Every dialogue against port 366 of a running provider: the same files as in memory."""

import asyncio
import base64
import smtplib
from collections.abc import AsyncIterator

import pytest

from localserve.provider import Provider
from localserve.provision import make_customer
from services.auth.keyring import Keyring
from services.auth.seal import Seal
from shared.protocol.sasl import scram
from tests.flows.live import SocketLine, database, running
from tests.protocol.dialogue import BODY, CUSTOMERS, REVERSE_PATH, Dialogue, all_dialogues, parameters, run_dialogue
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("dialogues")


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running() as provider:
        connection = await database(provider)
        keyring = Keyring(Seal(base64.b64decode(provider.secrets.seal_key)))
        for name, (secret, domains) in CUSTOMERS.items():
            await make_customer(provider, name, list(domains), authcid=name)
            # A dialogue knows its secret beforehand; the API would not take one.
            row = await connection.fetchrow("SELECT id FROM credentials WHERE authcid = $1", name)
            assert row is not None
            keys = keyring.seal_scram_keys(scram.derive(secret.encode(), b"salt of all here"), row["id"])
            await connection.execute(
                "UPDATE credentials SET sealed_secret = $2, sealed_scram = $3 WHERE authcid = $1",
                name,
                keyring.seal_secret(secret, row["id"]),
                keys,
            )
        await connection.close()
        yield provider


def _send(port: int, domain: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
        smtp.sendmail(REVERSE_PATH, f"user@{domain}", BODY)


@pytest.mark.parametrize("dialogue", parameters())
async def test_dialogue_live(dialogue: Dialogue, provider: Provider) -> None:
    connection = await database(provider)

    async def nobody_is_connected() -> bool:
        return not await connection.fetchval("SELECT count(*) FROM leases")

    try:
        await until(nobody_is_connected, 20)  # the session of the dialogue before
        await connection.execute("DELETE FROM recipients")
        for domain in dialogue.mail:
            await asyncio.to_thread(_send, provider.ports.smtp, domain)
        reader, writer = await asyncio.open_connection("127.0.0.1", provider.ports.odmr)
        await run_dialogue(dialogue, SocketLine(reader, writer))
    finally:
        await connection.close()


async def test_mail_of_a_refused_atrn_stays_unleased(provider: Provider) -> None:
    """RFC 2645 5.2.1: nothing is sent, and nothing is taken from the queue either."""
    foreign = next(dialogue for dialogue in all_dialogues() if dialogue.name == "foreign_domain")
    await test_dialogue_live(foreign, provider)
    connection = await database(provider)
    states = await connection.fetch("SELECT state, attempts FROM recipients")
    await connection.close()
    assert [tuple(row) for row in states] == [("queued", 0), ("queued", 0)]
