"""The admin port, and health by the program itself."""

import asyncio
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from localserve.layout import free_port
from localserve.provider import HERE
from shared import metrics
from shared.admin import admin_port


async def _get(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    said = (await reader.read()).decode()
    writer.close()
    return said.splitlines()[0].split(" ", 1)[1]


async def test_live_is_not_ready() -> None:
    stop, port, state = asyncio.Event(), free_port(), {"ready": True}

    async def is_ready() -> bool:
        if not state["ready"]:
            raise OSError("the database is gone")
        return True

    async with admin_port(f"127.0.0.1:{port}", stop, is_ready):
        assert await _get(port, "/livez") == "200 OK"
        assert await _get(port, "/readyz") == "200 OK"
        assert await _get(port, "/metrics") == "200 OK"
        assert await _get(port, "/else") == "404 Not Found"
        state["ready"] = False
        assert await _get(port, "/livez") == "200 OK"
        assert await _get(port, "/readyz") == "503 Service Unavailable"
        state["ready"] = True
        stop.set()
        assert await _get(port, "/readyz") == "503 Service Unavailable"
        assert await _get(port, "/livez") == "200 OK"


async def test_metrics_are_what_prometheus_reads() -> None:
    port = free_port()

    async def is_ready() -> bool:
        return True

    async with admin_port(f"127.0.0.1:{port}", asyncio.Event(), is_ready):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
    assert f"Content-Length: {len(body)}" in head and "version=0.0.4" in head
    families = {family.name for family in text_string_to_metric_families(body)}
    assert families >= {family.name for family in metrics.REGISTRY.collect()}


@pytest.mark.parametrize(("ready", "code"), [(True, 0), (False, 1)])
async def test_odmr_health(ready: bool, code: int) -> None:
    port = free_port()

    async def is_ready() -> bool:
        return ready

    async with admin_port(f"127.0.0.1:{port}", asyncio.Event(), is_ready):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", "health", cwd=HERE, env={"ODMR_ADMIN_LISTEN": f"127.0.0.1:{port}"}
        )
        assert await process.wait() == code


def test_odmr_health_where_nobody_listens() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "health"], cwd=HERE, env={"ODMR_ADMIN_LISTEN": f"127.0.0.1:{free_port()}"}
    )
    assert done.returncode == 1
