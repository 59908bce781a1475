"""What odmr says up to the turn, by its settings and a credential's policies."""

import asyncio
import base64
import ssl
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from services.odmr.authority import Identity
from shared.domain.names import CredentialId, CustomerId
from shared.protocol.provider import MAX_JUNK
from shared.protocol.sasl import plain
from shared.tls import client_context
from tests.services.odmr.certificate import Certificate
from tests.services.odmr.conftest import CLOSED, Customer, Factory, Login, Odmr
from tests.waiting import until


def turned(reply: str) -> bool:
    """Whether ATRN was granted."""
    return reply.startswith("250 ")


async def test_r02_auth_and_atrn_are_listed_before_and_after_tls(odmr: Factory) -> None:
    """R3, R11, R20: what each port offers; the same behaviour where TLS is there from the first octet."""
    async with odmr(cram_md5="tls") as provider:
        clear = await (await provider.call()).hello()
        assert "AUTH SCRAM-SHA-256" in clear and "STARTTLS" in clear and clear[-1] == "ATRN"
        context = client_context(provider.ca_file)
        secure = await (await provider.call(provider.tls_port, context)).hello()
        assert "AUTH SCRAM-SHA-256 CRAM-MD5 PLAIN" in secure and "STARTTLS" not in secure and secure[-1] == "ATRN"


async def test_r03_cram_md5_and_plain_can_be_switched_off(odmr: Factory) -> None:
    async with odmr(cram_md5="tls", plain="never") as provider:
        context = client_context(provider.ca_file)
        assert "AUTH SCRAM-SHA-256 CRAM-MD5" in await (await provider.call(provider.tls_port, context)).hello()


async def test_r19_a_port_that_requires_tls_says_530_to_all_but_four(odmr: Factory) -> None:
    async with odmr(require_tls=True) as provider:
        customer = await provider.call()
        assert (await customer.say("NOOP")).startswith("250 ")
        assert await customer.hello() == ["ENHANCEDSTATUSCODES", "STARTTLS", "XODMR LIVE STAT ID", "ATRN"]
        for command in (
            "AUTH CRAM-MD5",
            "AUTH PLAIN AA==",
            "ATRN",
            "ATRN demo.example",
            "RSET",
            "XODMR STAT",
            "MAIL",
            "FROB",
        ):
            assert (await customer.say(command)).startswith("530 5.7.0 "), command
        assert (await customer.say("STARTTLS")).startswith("220 ")
        context = client_context(provider.ca_file)
        secure = await provider.call(provider.tls_port, context)
        assert any(word.startswith("AUTH ") for word in await secure.hello())


async def test_r20_old_tls_is_refused(odmr: Factory) -> None:
    async with odmr() as provider:
        context = client_context(provider.ca_file)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await provider.call(provider.tls_port, context)


async def test_r11_plain_under_tls(odmr: Factory) -> None:
    async with odmr() as provider:
        login = await provider.mint()
        customer = await provider.call(provider.tls_port, client_context(provider.ca_file))
        await customer.hello()
        response = base64.b64encode(plain.respond(login.authcid, login.secret.encode())).decode()
        assert (await customer.say(f"AUTH PLAIN {response}")).startswith("235 ")
        assert (await customer.say("AUTH PLAIN AA==")).startswith("503 ")
        again = await provider.call(provider.tls_port, client_context(provider.ca_file))
        await again.hello()
        assert (await again.say("AUTH PLAIN")) == "334 "
        assert (await again.say(response)).startswith("235 ")


async def test_r25_an_empty_queue_by_the_credentials_policy(odmr: Factory) -> None:
    """453; or 250, EHLO, QUIT; or a session that stays."""
    async with odmr() as provider:
        refused = await provider.login(await provider.mint())
        assert (await refused.say("ATRN")).startswith("453 ")
        turns = await provider.login(await provider.mint(when_empty="turn"))
        assert turned(await turns.say("ATRN demo.example"))
        turns.tell("220 c.example")
        assert await turns.line() == "EHLO mx.example"
        turns.tell("250 c.example")
        assert await turns.line() == "QUIT"
        turns.tell("221 bye")
        assert await turns.line() == CLOSED
        stays = await provider.login(await provider.mint(when_empty="live"))
        assert turned(await stays.say("ATRN"))
        stays.tell("220 c.example")
        assert await stays.line() == "EHLO mx.example"
        stays.tell("250 c.example")
        await provider.accept()
        assert await provider.pool.fetchval("SELECT is_live FROM sessions ORDER BY id DESC LIMIT 1")
        provider.stop.set()
        assert (await stays.line()).split(" ")[0] in ("QUIT", "MAIL")
        stays.close()


async def test_r28_too_often_is_450_4_7_0(odmr: Factory) -> None:
    """By credential, whichever connection asks; another credential of the customer may."""
    async with odmr(atrn_interval_seconds=3600) as provider:
        login, other = await provider.mint(), await provider.mint()
        customer = await provider.login(login)
        assert (await customer.say("ATRN")).startswith("453 ")
        assert (await customer.say("ATRN")).startswith("450 4.7.0 ")
        assert (await (await provider.login(login)).say("ATRN")).startswith("450 4.7.0 ")
        assert (await (await provider.login(other)).say("ATRN")).startswith("453 ")
        await provider.pool.execute("UPDATE credentials SET last_atrn_at = last_atrn_at - interval '2 hours'")
        assert (await customer.say("ATRN")).startswith("453 ")


@pytest.mark.parametrize(
    ("asked", "means"),
    [
        ((), ("a.example", "b.example")),
        (("b.example",), ("b.example",)),
        (("home",), ("a.example", "b.example")),
        (("b.example", "home"), ("b.example", "a.example")),
        (("vm",), None),
        (("home", "c.example"), None),
        (("a.example", "c.example"), None),
    ],
)
def test_r22_what_an_atrn_means(asked: tuple[str, ...], means: tuple[str, ...] | None) -> None:
    """R23, R30: all, some, an alias for all; and nothing at all where one of them is foreign."""
    some = uuid4()
    identity = Identity(
        CustomerId(some), CredentialId(some), "farm", "PLAIN", ("a.example", "b.example"), aliases=("home",)
    )
    assert identity.resolve(asked) == means
    assert replace(identity, domains=()).resolve(asked) is None


async def test_r30_an_alias_stands_for_all_domains(odmr: Factory) -> None:
    async with odmr() as provider:
        await provider.accept()
        strict, legacy = await provider.mint(), await provider.mint(aliases=("vm",))
        assert (await (await provider.login(strict)).say("ATRN vm")).startswith("450 4.7.1 ")
        customer = await provider.login(legacy)
        assert (await customer.say("ATRN vm,elsewhere.example")).startswith("450 4.7.1 ")
        assert turned(await customer.say("ATRN VM"))
        customer.close()


async def test_a_customer_may_have_so_many_sessions_and_no_more(odmr: Factory) -> None:
    async with odmr(max_sessions=2) as provider:
        login = await provider.mint(when_empty="live")
        customers = [await provider.login(login) for _ in range(3)]
        assert turned(await customers[0].say("ATRN")) and turned(await customers[1].say("ATRN"))
        assert (await customers[2].say("ATRN")).startswith("450 4.7.0 Too many sessions")
        customers[0].close()

        async def has_room() -> bool:
            return turned(await customers[2].say("ATRN"))

        await until(has_room, 10)
        for customer in customers:
            customer.close()


@pytest.mark.fresh_database
async def test_r27_a_queue_that_cannot_be_read_is_451_and_may_be_asked_again(odmr: Factory) -> None:
    async with odmr() as provider:
        customer = await provider.login(await provider.mint())
        await provider.pool.execute("ALTER TABLE leases RENAME TO gone")
        try:
            assert (await customer.say("ATRN")).startswith("451 4.3.0 ")
            assert (await customer.say("NOOP")).startswith("250 ")
        finally:
            await provider.pool.execute("ALTER TABLE gone RENAME TO leases")
        assert (await customer.say("ATRN")).startswith("453 ")


async def test_r36_idle_customers_hear_421(odmr: Factory) -> None:
    async with odmr(idle_seconds=0.3) as provider:
        customer = await provider.call()
        assert (await customer.line()).startswith("421 4.4.2 ") and await customer.line() == CLOSED


async def test_r36_who_talks_on_without_an_end_is_cut_off(odmr: Factory) -> None:
    async with odmr(login_seconds=1.0) as provider:
        talker = await provider.call()
        said = 0
        while (reply := await talker.say("NOOP")).startswith("250 "):
            said += 1
            await asyncio.sleep(0.1)
        assert reply == CLOSED and said < MAX_JUNK, "it was the time that ended it, not the count"


async def test_r35_shutdown_says_421(odmr: Factory) -> None:
    async with odmr() as provider:
        customer = await provider.login(await provider.mint())
        provider.stop.set()
        assert (await customer.line()).startswith("421 4.3.2 ") and await customer.line() == CLOSED


async def show(provider: Odmr, mine: Certificate) -> Customer:
    """A connection that shows a certificate."""
    context = client_context(provider.ca_file, mine.chain, mine.key)
    return await provider.call(provider.certificate_port, context)


async def test_r14_external_by_a_registered_certificate(odmr: Factory, tmp_path: Path) -> None:
    """Offered only where TLS verified one; registered while odmr runs; a stranger's breaks its own handshake alone."""
    mine, strangers = Certificate(tmp_path / "mine"), Certificate(tmp_path / "strangers")
    async with odmr() as provider:
        await provider.accept()
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            await show(provider, mine)
        login = await provider.mint(certificate=mine.der, authcid="farm")
        assert login == Login("farm", "")
        customer = await show(provider, mine)
        assert (await customer.hello())[1].startswith("AUTH EXTERNAL SCRAM-SHA-256")
        assert (await customer.say("AUTH EXTERNAL " + base64.b64encode(b"ann").decode())).startswith("535 ")
        assert (await customer.say("AUTH EXTERNAL =")).startswith("235 ")
        assert turned(await customer.say("ATRN"))
        customer.close()
        again = await show(provider, mine)
        await again.hello()
        assert await again.say("AUTH EXTERNAL") == "334 "
        assert (await again.say(base64.b64encode(b"farm").decode())).startswith("235 ")
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            await show(provider, strangers)
        without = await provider.call(provider.certificate_port, client_context(provider.ca_file))
        assert (await without.hello())[1].startswith("AUTH SCRAM-SHA-256")
        await provider.pool.execute("UPDATE credentials SET revoked_at = now() WHERE authcid = 'farm'")
        revoked = await show(provider, mine)
        await revoked.hello()
        assert (await revoked.say("AUTH EXTERNAL =")).startswith("535 ")
