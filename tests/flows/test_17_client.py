"""The client against a running provider, waiting and on asyncio: typed answers, pages, problems, and what is sent again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from client import AsyncClient, Client, Problem, Unreachable, credentials, customers, domains, plans, whoami
from localserve.layout import free_port
from localserve.provider import Provider
from localserve.provision import api_url
from tests.flows.live import running

pytestmark = [pytest.mark.xdist_group("billing"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running(ODMR_API_REQUESTS_PER_SECOND="0") as provider:
        yield provider


def _waiting(provider: Provider) -> None:
    with Client(api_url(provider), provider.secrets.api_key) as odmr:
        assert odmr(whoami.whoami())["role"] == "operator"
        farm = odmr(customers.upsert_customer("ext:17", name="Farm", domains=["seventeen.example"], credential=True))
        assert farm["credential"] is not None and farm["domains"][0]["name"] == "seventeen.example"
        config = odmr(credentials.read_client_config(farm["credential"]["id"], for_="fetchmail"))
        assert b"seventeen.example" in config
        for i in range(5):
            odmr(plans.create_plan(name=f"plan {i}"))
        listed = [plan["name"] for plan in odmr.pages(plans.list_plans(limit=2))]
        assert [name for name in listed if name.startswith("plan ")] == [f"plan {i}" for i in (4, 3, 2, 1, 0)]
        assert odmr(plans.remove_plan("plan 0")) is None
        with pytest.raises(Problem) as caught:
            odmr(plans.read_plan("plan 0"))
        assert (caught.value.status, caught.value.code) == (404, "not_found")


async def test_a_program_that_waits(provider: Provider) -> None:
    await asyncio.to_thread(_waiting, provider)


async def test_what_is_sent_again_while_the_api_is_gone_is_done_once(provider: Provider) -> None:
    """Killed in the middle of twenty POSTs: whoever is answered has made one, and nobody has made two."""
    async with AsyncClient(api_url(provider), provider.secrets.api_key) as odmr:
        made = [asyncio.create_task(odmr(customers.create_customer(name=f"again {i}"))) for i in range(20)]
        await asyncio.wait(made, return_when=asyncio.FIRST_COMPLETED)
        os.kill(provider.child("api").pid or 0, signal.SIGKILL)
        answers = await asyncio.gather(*made, return_exceptions=True)
        told = [one for one in answers if not isinstance(one, BaseException)]
        unsure = [one for one in answers if isinstance(one, BaseException)]
        for one in unsure:  # a slow machine is not back before the client gives up
            assert isinstance(one, Unreachable) or (isinstance(one, Problem) and one.code == "idempotency_in_progress")
        await provider.answers()
        there = [
            one["name"] async for one in odmr.pages(customers.list_customers()) if one["name"].startswith("again ")
        ]
        assert len(there) == len(set(there)) and {one["name"] for one in told} <= set(there)
        assert len(there) <= 20


async def test_nobody_there(provider: Provider) -> None:
    async with AsyncClient(f"http://127.0.0.1:{free_port()}", "odmr_x") as odmr:
        with pytest.raises(Unreachable, match="does not answer"):
            await odmr(domains.remove_domain("x.example"))
