"""Whose a domain is, by its DNS: what is expected, what is there, and what to paste."""

from dataclasses import replace

from services.inbound.settings import InboundSettings
from shared.resolve import Resolver
from shared.storage.engine import Pool
from shared.storage.hosted import HostedDomains
from tests.services.api.conftest import Api, make_customer
from tests.services.outbound.strangers import names

PATH = "/v1/domains/farm.example"


async def _domain(api: Api) -> str:
    await make_customer(api, "farm")
    body = {"customer_id": "ext:x-farm", "name": "farm.example"}
    return str((await api.operator.post("/v1/domains", json=body)).json()["id"])


def _ask(api: Api, server: str) -> None:
    parts = api.app.state.parts  # type: ignore[attr-defined]
    api.app.state.parts = replace(parts, resolver=Resolver(server))  # type: ignore[attr-defined]


async def test_each_record_is_told_and_what_to_paste_makes_it_right(api: Api) -> None:
    token = f"odmr={await _domain(api)}"
    zone: dict[tuple[str, str], tuple[str, ...]] = {("farm.example", "MX"): ("10 mail.old.example.",)}
    async with names(zone) as server:
        _ask(api, server)
        told = (await api.operator.get(f"{PATH}/dns")).json()
        mail, text = told["records"]
        assert not told["ok"] and (mail["expected"], mail["observed"]) == ("mx.provider.example", ["mail.old.example"])
        assert mail["why"] == "mail goes to mail.old.example, and not to mx.provider.example"
        assert (text["name"], text["expected"], text["observed"]) == ("_odmr.farm.example", token, [])
        for line in told["zone"].splitlines():
            name, _, _, kind, *value = line.split(" ")
            zone[name.removesuffix("."), kind] = (" ".join(value),)
        told = (await api.operator.get(f"{PATH}/dns")).json()
        assert told["ok"] and all(record["ok"] and not record["why"] for record in told["records"])


async def test_a_domain_is_verified_once_and_for_good(api: Api, pool: Pool) -> None:
    token = f"odmr={await _domain(api)}"
    anyone, verified = HostedDomains(pool), HostedDomains(pool, only_verified=True)
    zone: dict[tuple[str, str], tuple[str, ...]] = {("_odmr.farm.example", "TXT"): ('"odmr=dom_other"',)}
    async with names(zone) as server:
        _ask(api, server)
        answer = await api.operator.post(f"{PATH}/verify")
        assert answer.json()["code"] == "conflict" and token in answer.json()["detail"]
        assert await anyone.find("farm.example", "u") and await verified.find("farm.example", "u") is None
        zone["_odmr.farm.example", "TXT"] = ('"odmr=dom_other"', f'"{token}"')
        made = (await api.operator.post(f"{PATH}/verify")).json()
        assert made["verified_at"] is not None and await verified.find("farm.example", "u")
        zone.clear()
        assert (await api.operator.post(f"{PATH}/verify")).json() == made
        zone["_odmr.farm.example", "TXT"] = zone["farm.example", "MX"] = ("fail",)
        told = (await api.operator.get(f"{PATH}/dns")).json()
        assert (
            not told["ok"]
            and "does not answer" in told["records"][1]["why"]
            and told["verified_at"] == made["verified_at"]
        )
    assert [e["type"] for e in (await api.operator.get("/v1/events")).json()["data"]].count("domain.verified") == 1
    assert InboundSettings.model_fields["only_verified_domains"].default is False
