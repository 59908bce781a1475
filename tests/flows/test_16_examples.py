"""The examples do what they say, against a whole provider; each is short enough to copy."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from localserve.layout import free_port
from localserve.provider import HERE, Provider
from localserve.provision import api_url, client
from tests.flows.live import running
from tests.flows.sender import Ledger, send_all
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("examples"), pytest.mark.timeout(180)]
EXAMPLES = HERE / "examples"


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    allowed = free_port()
    async with running(ODMR_WEBHOOK_ALLOW=f"127.0.0.1:{allowed}") as made:
        made.webhook_port = allowed  # type: ignore[attr-defined]
        yield made


def _env(provider: Provider, **more: str) -> dict[str, str]:
    own = {"ODMR_API_URL": api_url(provider), "ODMR_API_KEY": provider.secrets.api_key}
    return {"PATH": os.environ["PATH"], **own, **more}  # noqa: TID251 - of a child process


async def _run(provider: Provider, name: str, *words: str, **env: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / name), *words, env=_env(provider, **env),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_each_is_under_100_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 100 and path.name in (EXAMPLES / "README.md").read_text()


async def test_provision_does_what_whmcs_asks_and_may_be_repeated(provider: Provider) -> None:
    async with client(provider) as api:
        for name in ("small", "large"):
            await api.post("/v1/plans", json={"name": name})
        made = [await _run(provider, "provision.py", "create", "42", "Farm", "farm.example", "small") for _ in range(2)]
        assert made[0] == made[1] and made[0][0] == 0, made
        login = json.loads(made[0][1])
        assert login["user"] and login["secret"]
        for words, name, value in (
            (("change-package", "42", "large"), "state", "active"),
            (("suspend", "42", "not paid"), "state", "suspended"),
            (("unsuspend", "42"), "state", "active"),
        ):
            for _ in range(2):
                code, out, err = await _run(provider, "provision.py", *words)
                assert code == 0 and json.loads(out)[name] == value, err
        code, out, _ = await _run(provider, "provision.py", "change-password", "42")
        assert code == 0 and json.loads(out)["secret"] != login["secret"]
        assert (await _run(provider, "provision.py", "terminate", "42"))[0] == 0
        assert (await api.get("/v1/customers/ext:42")).json()["state"] == "terminated"
    code, _, err = await _run(provider, "provision.py", "suspend", "43", "x")
    assert code == 1 and "(not_found, req_" in err
    assert (await _run(provider, "provision.py"))[0] == 1


async def test_usage_is_imported_and_a_second_time_is_the_same(provider: Provider) -> None:
    await send_all(provider.ports.smtp, ["a", "b"], Ledger(), 20)
    connection = await asyncpg.connect(provider.database_url)
    await connection.execute("UPDATE usage SET at = at - interval '3 hours'")
    await connection.execute("UPDATE usage_buckets SET hour = hour - interval '3 hours'")
    await connection.close()
    heard: list[tuple[str, list[dict[str, Any]]]] = []

    async def meter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        heard.append((head, json.loads(await reader.readexactly(length))))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(meter, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1/events"
        for _ in range(2):
            code, out, err = await _run(provider, "import_usage.py", METER_URL=url)
            assert code == 0 and "events" in out, err
    (head, first), (_, second) = heard
    assert "application/cloudevents-batch+json" in head and first == second
    received = [event for event in first if event["type"] == "odmr.usage.messages_received"]
    assert [event["subject"] for event in received] == ["demo"] and received[0]["data"]["amount"] == 2
    assert {"specversion", "id", "source", "type", "subject", "time", "data"} == set(first[0])


async def test_webhooks_are_received_verified_and_done_once(provider: Provider, tmp_path: Path) -> None:
    port, file = provider.webhook_port, tmp_path / "events.jsonl"  # type: ignore[attr-defined]
    async with client(provider) as api:
        body = {"url": f"http://127.0.0.1:{port}/", "types": ["customer.created"]}
        hook = (await api.post("/v1/webhook_endpoints", json=body)).json()
        receiver = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLES / "receive_webhooks.py"), str(port), str(file),
            env=_env(provider, WEBHOOK_SECRET=hook["secret"]), stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            for name in ("one", "two"):
                await api.post("/v1/customers", json={"name": name, "external_id": name})

            async def told(count: int) -> bool:
                path = f"/v1/webhook_endpoints/{hook['id']}/deliveries"
                data = (await api.get(path, params={"state": "delivered"})).json()["data"]
                return bool(sum(delivery["attempts"] for delivery in data) >= count)

            await until(lambda: told(2), 30)
            path = f"/v1/webhook_endpoints/{hook['id']}/redeliver"
            assert (await api.post(path, json={"since": "2026-01-01T00:00:00Z"})).json() == {"deliveries": 2}

            async def told_again() -> bool:
                rows = (await api.get(f"/v1/webhook_endpoints/{hook['id']}/deliveries")).json()["data"]
                return all(row["state"] == "delivered" for row in rows)

            await until(told_again, 30)
        finally:
            receiver.terminate()
            await receiver.wait()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(line["data"]["external_id"] for line in lines) == ["one", "two"]
