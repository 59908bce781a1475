"""The files that the API gives for connector, fetchmail and Exim, pasted and run: with the secret, the test's CA, and a
server of ours in place of the customer's own."""

import asyncio
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localserve.provider import HERE, Provider
from localserve.provision import client, make_customer
from localserve.sink import Sink
from tests.flows.live import running, settled
from tests.interop.peers import EXIM_WITH_ATRN, program
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("configs"), pytest.mark.timeout(180)]
DOMAIN = "pasted.example"
COUNT = 20
#: What the test's Exim is besides: it keeps what comes, and logs each message's id.
EXIM = """
spool_directory = {spool}
log_file_path = {spool}/%slog
primary_hostname = mail.customer.example
domainlist local_domains = {domain}
acl_smtp_rcpt = accept domains = +local_domains
acl_smtp_data = accept
host_lookup =
never_users =
queue_only = true
tls_advertise_hosts =
begin routers
{routers}
all:
  driver = accept
  transport = nowhere
begin transports
{transports}
nowhere:
  driver = appendfile
  file = /dev/null
begin authenticators
{authenticators}
"""


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running(ODMR_HOSTNAME="localhost") as provider:
        yield provider


async def _pasted(provider: Provider, client_name: str) -> tuple[str, str]:
    """The file, and the secret of a new credential that it is for."""
    async with client(provider) as api:
        known = await api.get(f"/v1/domains/{DOMAIN}")
        if known.status_code == 404:
            await make_customer(provider, "pasted", [DOMAIN])
        customer = (await api.get(f"/v1/domains/{DOMAIN}")).json()["customer_id"]
        made = (await api.post("/v1/credentials", json={"customer_id": customer})).json()
        config = await api.get(f"/v1/credentials/{made['id']}/client_config", params={"for": client_name})
    assert config.status_code == 200, config.text
    return config.text, made["secret"]


def _with(text: str, **changes: str) -> str:
    """The text with each word in place of what stands there once."""
    for wrong, right in changes.items():
        assert text.count(wrong) == 1, f"{wrong!r} stands {text.count(wrong)} times in:\n{text}"
        text = text.replace(wrong, right)
    return text


async def _send(provider: Provider) -> list[str]:
    names = [f"pasted-{os.urandom(4).hex()}" for _ in range(COUNT)]
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.ports.smtp)
    await reader.readline()
    for words in (b"HELO x", *(w for name in names for w in _message(name))):
        writer.write(words + b"\r\n")
        assert (await reader.readline())[:1] in b"23"
    writer.close()
    return names


def _message(name: str) -> tuple[bytes, ...]:
    content = f"From: a@remote.example\r\nMessage-ID: <{name}@remote.example>\r\n\r\nhello\r\n."
    return b"MAIL FROM:<a@remote.example>", f"RCPT TO:<u@{DOMAIN}>".encode(), b"DATA", content.encode()


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=HERE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = (await process.communicate())[0].decode(errors="replace")
    assert process.returncode == 0, said


def _ids(sink: Sink) -> Counter[str]:
    found = (re.search(rb"Message-ID: <(\S+)@", message.content) for message in sink.messages)
    return Counter(one[1].decode() for one in found if one)


async def test_the_connectors(provider: Provider, tmp_path: Path) -> None:
    text, secret = await _pasted(provider, "connector")
    (tmp_path / "secret").write_text(secret)
    (tmp_path / "secret").chmod(0o600)
    names = await _send(provider)
    async with Sink() as sink:
        changed = _with(text, **{'/etc/odmr/secret"': f'{tmp_path}/secret"', "127.0.0.1:25": f"127.0.0.1:{sink.port}"})
        (tmp_path / "connector.toml").write_text(f'{changed}ca_file = "{provider.ca_file}"\nledger = "none"\n')
        command = (sys.executable, "-m", "connector", "run", "--config", str(tmp_path / "connector.toml"))
        connector = await asyncio.create_subprocess_exec(*command, cwd=HERE)
        await sink.wait_for(COUNT, 30)
        await settled(provider)
        connector.terminate()
        await connector.wait()
        assert _ids(sink) == Counter(names)


async def test_fetchmails(provider: Provider, tmp_path: Path) -> None:
    text, secret = await _pasted(provider, "fetchmail")
    names = await _send(provider)
    async with Sink() as sink:
        changed = _with(
            text,
            **{
                "PUT THE SECRET HERE": secret,
                "127.0.0.1/25": f"127.0.0.1/{sink.port}",
                "ssl sslcertck": f'ssl sslcertck sslcertfile "{provider.ca_file}"',
            },
        )
        rc = tmp_path / "fetchmailrc"
        rc.touch(0o600)
        rc.write_text(changed)
        await _run(program("fetchmail"), "-f", str(rc), "--nosyslog", "--pidfile", str(tmp_path / "pid"))
        assert _ids(sink) == Counter(names)


async def test_exims(provider: Provider) -> None:
    """Exim knows ODMR from 4.98 on, which Debian 12 does not have: it runs in a root of its own."""
    root = EXIM_WITH_ATRN
    if not root.is_dir():
        pytest.skip("an Exim with ODMR is not unpacked: run make peers, which does it")
    text, secret = await _pasted(provider, "exim")
    names = await _send(provider)
    folder = root / "tmp" / f"odmr-{os.urandom(4).hex()}"
    folder.mkdir(parents=True)
    try:
        owner = next(line.split(":") for line in (root / "etc/passwd").read_text().splitlines() if "exim" in line)
        os.chown(folder, int(owner[2]), int(owner[3]))
        inside = f"/{folder.relative_to(root)}"
        (folder / "secret").write_text(secret)
        shutil.copy(provider.ca_file, folder / "ca.pem")
        changed = _with(
            text,
            **{
                "/etc/exim4/odmr.secret": f"{inside}/secret",
                "route_data = localhost": "route_data = localhost byname\n  self = send",  # no DNS here; it is this host
                "tls_verify_certificates = system": f"tls_verify_certificates = {inside}/ca.pem",
            },
        )
        _, routers, transports, authenticators = re.split(r"^# begin .*\n", changed, flags=re.MULTILINE)
        parts = {"routers": routers, "transports": transports, "authenticators": authenticators}
        (folder / "exim.conf").write_text(EXIM.format(spool=f"{inside}/spool", domain=DOMAIN, **parts))
        asked = re.search(r"exim -atrn (\S+) (\S+)", changed)
        assert asked is not None
        await _run("chroot", str(root), "/usr/sbin/exim4", "-C", f"{inside}/exim.conf", "-atrn", asked[1], asked[2])
        log = folder / "spool" / "mainlog"

        async def has_all() -> bool:
            came = re.findall(r"<= .* id=(\S+)@remote\.example", log.read_text()) if log.is_file() else []
            return Counter(came) == Counter(names)

        await until(has_all, 30)
    finally:
        shutil.rmtree(folder)
