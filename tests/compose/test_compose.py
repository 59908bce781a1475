"""docker-compose.yml for real, where a Docker engine answers: `make compose-test`. It starts no engine itself."""

import asyncio
import json
import secrets
import shutil
import smtplib
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from localserve.layout import free_port, new_seal_key
from localserve.provider import HERE
from localserve.sink import Sink
from shared.config import environment
from tests.flows.sender import content, name_of
from tests.interop.peers import program
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)
OPERATOR_KEY = f"odmr_operator_{secrets.token_urlsafe(32)}"
SERVICES = ("inbound", "odmr", "auth", "outbound", "api", "nats", "postgres")


class Project:
    """One compose project with ports of its own."""

    def __init__(self) -> None:
        self.name = f"odmr-test-{secrets.token_hex(3)}"
        self.smtp, self.odmr, self.odmr_tls, self.api, certificate = (free_port() for _ in range(5))
        self._env = {
            **environment(),
            "SMTP_PORT": f"127.0.0.1:{self.smtp}", "ODMR_PORT": f"127.0.0.1:{self.odmr}", "ODMR_TLS_PORT": f"127.0.0.1:{self.odmr_tls}",
            "API_PORT": f"127.0.0.1:{self.api}", "ODMR_CERTIFICATE_PORT": f"127.0.0.1:{certificate}", "ODMR_HOSTNAME": "mx.provider.example",
            "ODMR_SEAL_KEY": new_seal_key(), "ODMR_API_SEAL_KEY": new_seal_key(), "ODMR_OPERATOR_KEY": OPERATOR_KEY,
        }  # fmt: skip

    def __call__(self, *words: str) -> str:
        """Runs docker compose; fails with what it said."""
        done = subprocess.run(
            ["docker", "compose", "-p", self.name, *words], cwd=HERE, env=self._env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def through(self, file: Path, service: str) -> None:
        """Runs `backup` with its output in the file, or `restore` with its input from there."""
        words = ["docker", "compose", "-p", self.name, "run", "--rm", "-T", service]
        is_backup = service == "backup"
        with file.open("wb" if is_backup else "rb") as pipe:
            subprocess.run(
                words, cwd=HERE, env=self._env, check=True, stderr=subprocess.DEVNULL,
                stdin=None if is_backup else pipe, stdout=pipe if is_backup else None,
            )  # fmt: skip

    def tools(self, *words: str) -> dict[str, str]:
        """The command line inside the network; what it printed as JSON."""
        return dict(json.loads(self("run", "--rm", "tools", *words, "--json")))

    def send(self, *names: str) -> None:
        """Mail by the published port; each got 250."""
        for name in names:
            with smtplib.SMTP("127.0.0.1", self.smtp, timeout=30) as smtp:
                smtp.sendmail("a@remote.example", ["u@farm.example"], content(name))


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    if shutil.which("docker") is None or subprocess.run(["docker", "version"], capture_output=True).returncode:
        pytest.skip("no Docker engine answers here")
    made = Project()
    try:
        made("build", "-q")
        made("up", "-d", "--wait")
        yield made
    finally:
        made("--profile", "demo", "down", "-v", "--timeout", "5")


@pytest.fixture(scope="module")
def account(project: Project) -> tuple[str, str]:
    """Name and secret of a customer made by the command line."""
    customer = project.tools("customer", "create", "Farm", "--external-id", "farm")
    project.tools("domain", "create", customer["id"], "farm.example")
    credential = project.tools("credential", "create", "ext:farm")
    return credential["authcid"], credential["secret"]


async def fetchmail(project: Project, account: tuple[str, str], folder: Path, sink: Sink) -> None:
    ca_file = folder / "ca.pem"
    project("cp", "odmr:/run/odmr/tls/ca.pem", str(ca_file))
    rc = folder / "rc"
    rc.touch(0o600)
    rc.write_text(
        f"poll localhost protocol ODMR service {project.odmr_tls} timeout 60\n"
        f'  user "{account[0]}" password "{account[1]}" fetchdomains farm.example smtphost 127.0.0.1/{sink.port}\n'
        f'  ssl sslcertck sslcertfile "{ca_file}"\n'
    )
    process = await asyncio.create_subprocess_exec(
        program("fetchmail"),
        "-f",
        str(rc),
        "--nosyslog",
        "--pidfile",
        str(folder / "pid"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode(errors="replace")


async def test_mail_in_and_out_through_published_ports(
    project: Project, account: tuple[str, str], tmp_path: Path
) -> None:
    names = [f"m{i}" for i in range(20)]
    project.send(*names)
    async with Sink() as sink:
        await fetchmail(project, account, tmp_path, sink)
        assert [name_of(message.content) for message in sink.messages] == names
        assert b"by mx.provider.example with ESMTP id" in sink.messages[0].content


async def test_the_connectors_own_image(project: Project, account: tuple[str, str], tmp_path: Path) -> None:
    subprocess.run(
        ["docker", "build", "-q", "--target", "connector", "-t", f"{project.name}-connector", "."],
        cwd=HERE,
        check=True,
        capture_output=True,
    )
    project("cp", "odmr:/run/odmr/tls/ca.pem", str(tmp_path / "ca.pem"))
    (tmp_path / "secret").write_text(account[1])
    tmp_path.chmod(0o755)
    project.send("by connector")
    async with Sink() as sink:
        process = await asyncio.create_subprocess_exec(
            "docker", "run", "--rm", "--network", "host", "--read-only", "--cap-drop", "ALL", "-v", f"{tmp_path}:/etc/odmr:ro",
            f"{project.name}-connector", "once", "--provider", f"localhost:{project.odmr}", "--user", account[0],
            "--secret-file", "/etc/odmr/secret", "--ca-file", "/etc/odmr/ca.pem", "--deliver", f"127.0.0.1:{sink.port}",
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await process.communicate()
        assert process.returncode == 0, said
        assert [name_of(message.content) for message in sink.messages] == ["by connector"]
    subprocess.run(["docker", "rmi", f"{project.name}-connector"], capture_output=True)


async def test_a_kill_of_each_and_a_new_start_lose_nothing(
    project: Project, account: tuple[str, str], tmp_path: Path
) -> None:
    names = []
    for service in SERVICES:
        project.send(f"before-{service}")
        project("kill", service)
        project("up", "-d", "--wait")
        project.send(f"after-{service}")
        names += [f"before-{service}", f"after-{service}"]
    project("down", "--timeout", "10")
    project("up", "-d", "--wait")
    async with Sink() as sink:
        await fetchmail(project, account, tmp_path, sink)
        assert Counter(name_of(message.content) for message in sink.messages) == Counter(names)


def test_what_runs_is_closed(project: Project) -> None:
    """T17: not root, nothing to write to, no capabilities; only auth has the key that opens secrets."""
    for service in ("inbound", "odmr", "auth", "outbound", "api"):
        container = project("ps", "-q", service).strip()
        facts = json.loads(
            subprocess.run(["docker", "inspect", container], capture_output=True, text=True, check=True).stdout
        )[0]
        assert facts["HostConfig"]["ReadonlyRootfs"] and facts["HostConfig"]["CapDrop"] == ["ALL"]
        assert facts["Config"]["User"] == "10001" and "no-new-privileges:true" in facts["HostConfig"]["SecurityOpt"]
        has_key = subprocess.run(
            ["docker", "exec", container, "python", "-c", "open('/run/odmr/seal_key')"], capture_output=True
        )
        assert (has_key.returncode == 0) == (service == "auth"), service


async def test_the_demo_shows_what_arrives(project: Project) -> None:
    project("--profile", "demo", "build", "-q", "demo-connector")
    project("--profile", "demo", "up", "-d", "--wait")
    with smtplib.SMTP("127.0.0.1", project.smtp, timeout=30) as smtp:
        smtp.sendmail("a@remote.example", ["anybody@demo.example"], "Subject: hello there\r\n\r\nbody\r\n")

    async def is_shown() -> bool:
        return "to anybody@demo.example" in (said := project("logs", "demo-server")) and "Subject: hello there" in said

    await until(is_shown, 60)
    project("--profile", "demo", "stop", "demo-connector", "demo-server")


async def test_a_backup_and_the_keys_of_env_are_all_that_is_needed(
    project: Project, account: tuple[str, str], tmp_path: Path
) -> None:
    """All volumes are gone, as after a fire; mail and credentials are there again."""
    names, dump = [f"kept-{i}" for i in range(5)], tmp_path / "odmr.dump"
    project.send(*names)
    project.through(dump, "backup")
    project("--profile", "demo", "down", "-v", "--timeout", "5")
    project("up", "-d", "--wait")
    project("stop", "inbound", "odmr", "outbound", "auth", "api")
    project("exec", "-T", "postgres", "dropdb", "-U", "odmr", "--force", "odmr")
    project("exec", "-T", "postgres", "createdb", "-U", "odmr", "odmr")
    project.through(dump, "restore")
    project("up", "-d", "--wait")
    async with Sink() as sink:
        await fetchmail(project, account, tmp_path, sink)
        assert Counter(name_of(message.content) for message in sink.messages) == Counter(names)
