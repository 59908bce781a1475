"""GNU SASL logs in with each of our mechanisms: over SMTP to the live port, and through a pump that makes TLS for it.

gsasl itself says STARTTLS before EHLO, which RFC 3207 does not have.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from localserve.provider import Provider
from localserve.provision import client
from shared.tls import client_context
from tests.flows.live import running
from tests.interop.peers import program
from tests.services.odmr.certificate import Certificate

pytestmark = [pytest.mark.xdist_group("interop"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running() as provider:
        yield provider


async def gsasl(port: int, mechanism: str, user: str, secret: str) -> tuple[int, str]:
    """Its exit code and words."""
    process = await asyncio.create_subprocess_exec(
        program("gsasl"), "--client", "--smtp", f"--connect=localhost:{port}", "--no-starttls", "--quality=auth",
        "-m", mechanism, f"--authentication-id={user}", f"--password={secret}",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")


@asynccontextmanager
async def tls_pump(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A port in clear that is TLS to the provider."""
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                writer.write(data)
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        for pair in ((reader, outer), (inner, writer)):
            tasks.add(asyncio.create_task(pass_on(*pair)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "CRAM-MD5"])
async def test_gsasl_in_clear(provider: Provider, mechanism: str) -> None:
    """R15: the proofs of both sides, by software that nobody here wrote."""
    user, secret = provider.secrets.demo_user, provider.secrets.demo_secret
    code, said = await gsasl(provider.ports.odmr, mechanism, user, secret)
    assert code == 0 and "235 2.7.0" in said, said
    if mechanism == "SCRAM-SHA-256":
        assert "server trusted" in said
    code, said = await gsasl(provider.ports.odmr, mechanism, user, "wrong")
    assert code != 0 and "535 5.7.8" in said


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "CRAM-MD5", "PLAIN"])
async def test_gsasl_under_tls(provider: Provider, mechanism: str) -> None:
    user, secret = provider.secrets.demo_user, provider.secrets.demo_secret
    async with tls_pump(provider.ports.odmr_tls, client_context(provider.ca_file)) as port:
        code, said = await gsasl(port, mechanism, user, secret)
        assert code == 0 and "235 2.7.0" in said, said


async def test_r14_gsasl_by_certificate(provider: Provider, tmp_path: Path) -> None:
    mine = Certificate(tmp_path / "mine")
    async with client(provider) as api:
        [customer] = (await api.get("/v1/customers")).json()["data"]
        body = {"customer_id": customer["id"], "certificate": mine.chain.read_text(), "authcid": "certified"}
        assert (await api.post("/v1/credentials", json=body)).status_code == 201
    context = client_context(provider.ca_file, mine.chain, mine.key)
    async with tls_pump(provider.ports.odmr_certificate, context) as port:
        code, said = await gsasl(port, "EXTERNAL", "certified", "")
        assert code == 0 and "235 2.7.0" in said, said
