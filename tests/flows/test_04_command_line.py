"""The command line against a running provider: every verb, and every exit code."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from cli.api import EX_NOINPUT, EX_REFUSED, EX_UNAVAILABLE, EX_USAGE
from localserve.layout import free_port
from localserve.provider import HERE, Provider
from localserve.provision import api_url
from shared.program import EX_CONFIG, EX_TEMPFAIL
from tests.flows.command import odmr
from tests.flows.live import running
from tests.flows.sender import DOMAIN, Ledger, send_all
from tests.services.auth.test_issuer import request as signed_request
from tests.services.outbound.strangers import names

pytestmark = [pytest.mark.xdist_group("dialogues"), pytest.mark.timeout(180)]


#: Every exit code that a command may end with; each is shown below.
EXITS = {0: "done", EX_REFUSED: "refused", EX_USAGE: "usage", EX_NOINPUT: "no file", EX_UNAVAILABLE: "no API or key"} | {
    EX_TEMPFAIL: "no database", EX_CONFIG: "a setting is wrong",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operator:
    """The command line with the operator's key."""

    provider: Provider

    @property
    def env(self) -> dict[str, str]:
        """Where the API is, and the key."""
        return {"ODMR_API_URL": api_url(self.provider), "ODMR_API_KEY": self.provider.secrets.api_key}

    async def does(self, *words: str) -> dict[str, "object"]:
        """A command that must succeed; what the API said."""
        said = await odmr(*words, "--json", **self.env)
        assert said.exit == 0, said
        return dict(json.loads(said.out))


@pytest.fixture(scope="module")
async def operator() -> AsyncIterator[Operator]:
    async with names({}) as dns, running(ODMR_DNS=dns) as provider:
        yield Operator(provider)


async def test_every_verb_of_every_noun(operator: Operator, tmp_path: Path) -> None:
    does = operator.does
    assert (await does("whoami"))["role"] == "operator"
    customer = await does("customer", "create", "Farm & sons", "--external-id", "farm")
    assert customer == (await does("customer", "show", "ext:farm")) | {"domains": [], "credential": None}
    assert (await does("customer", "change", "ext:farm", "--name", "Farm"))["name"] == "Farm"
    assert (await does("customer", "suspend", "ext:farm", "--reason", "not paid"))["state"] == "suspended"
    assert (await does("customer", "resume", "ext:farm"))["state"] == "active"
    assert len((await does("customer", "ls"))["data"]) == 2  # type: ignore[arg-type]
    assert (await does("domain", "create", "ext:farm", "farm.example"))["name"] == "farm.example"
    assert (await does("domain", "change", "farm.example", "--unknown-recipients", "reject"))[
        "unknown_recipients"
    ] == "reject"
    assert (await does("domain", "change", "farm.example", "--max-messages", "5"))["max_messages"] == 5
    assert (await does("domain", "change", "farm.example", "--max-messages", "0"))["max_messages"] is None
    assert (await does("domain", "show", "farm.example"))["unknown_recipients"] == "reject"
    listed = tmp_path / "list"
    listed.write_text("ann\n\nzoe\n")
    known = {"local_parts": ["ann", "zoe"]}
    assert await does("domain", "recipients", "farm.example", "--from-file", str(listed)) == known
    assert await does("domain", "recipients", "farm.example") == known
    assert len((await does("domain", "ls", "--customer-id", "ext:farm"))["data"]) == 1  # type: ignore[arg-type]
    made = await does("credential", "create", "ext:farm", "--authcid", "farm", "--alias", "vm", "--when-empty", "turn")
    credential = str(made["id"])
    assert made["aliases"] == ["vm"] and made["secret"]
    assert (await does("credential", "show", credential))["when_empty"] == "turn"
    assert (await does("credential", "change", credential, "--when-empty", "live"))["when_empty"] == "live"
    assert (await does("credential", "rotate", credential))["secret"] != made["secret"]
    assert len((await does("credential", "ls", "--customer-id", "ext:farm"))["data"]) == 1  # type: ignore[arg-type]
    key = await does(
        "key", "create", "billing", "--role", "customer", "--customer-id", "ext:farm", "--scope", "domains:read"
    )
    assert key["scopes"] == ["domains:read"]
    assert len((await does("key", "ls"))["data"]) == 2  # type: ignore[arg-type]
    assert (await does("usage", "ls", "--customer-id", "ext:farm"))["data"] == []
    assert await does("session", "ls", "--running") == {"data": [], "has_more": False, "next_cursor": None}
    await _more(does, credential, str(key["id"]), tmp_path)
    config = await odmr("credential", "config", credential, "--client", "exim", **operator.env)
    assert config.exit == 0 and "exim -atrn mx.provider.example farm.example" in config.out
    assert (await odmr("domain", "refused", "farm.example", "--forget", "all", **operator.env)).exit == 0
    await _billing(does)
    await does("plan", "create", "gone")
    endpoint = str((await does("webhook", "ls"))["data"][0]["id"])  # type: ignore[index]
    assert (await does("customer", "put", "farm", "Farm"))["plan_id"] is None
    for words in (
        ("plan", "rm", "gone"),
        ("webhook", "rm", endpoint),
        ("credential", "rm", credential),
        ("domain", "rm", "farm.example"),
        ("key", "rm", str(key["id"])),
    ):
        assert (await odmr(*words, **operator.env)).exit == 0
    assert (await odmr("domain", "show", "farm.example", **operator.env)).exit == EX_REFUSED


async def _more(does: Callable[..., Awaitable[dict[str, object]]], credential: str, key: str, tmp_path: Path) -> None:
    """Rotations that overlap, certificates by request, refusals, suspensions that end."""
    assert (await does("credential", "rotate", credential, "--overlap-seconds", "60"))["former_until"]
    changed = await does("credential", "change", credential, "--allow-domain", "farm.example")
    assert changed["allowed_domains"] == ["farm.example"]
    asked = tmp_path / "request.pem"
    request = x509.load_der_x509_csr(signed_request(ec.generate_private_key(ec.SECP256R1())))
    asked.write_bytes(request.public_bytes(Encoding.PEM))
    boat = await does("credential", "create", "ext:farm", "--certificate-request", str(asked))
    assert "BEGIN CERTIFICATE" in str(boat["certificate"])
    assert (await does("key", "rotate", key, "--overlap-seconds", "60"))["key"]
    assert (await does("domain", "refused", "farm.example"))["data"] == []
    until = "2099-01-01T00:00:00Z"
    suspended = await does("customer", "suspend", "ext:farm", "--reason", "not paid", "--until", until)
    assert suspended["resume_at"] == until
    await does("customer", "resume", "ext:farm")
    event = (await does("event", "ls"))["data"][0]  # type: ignore[index]
    assert await does("event", "show", event["id"]) == event


async def _billing(does: Callable[..., Awaitable[dict[str, object]]]) -> None:
    """The verbs of what a bill is about."""
    assert (await does("plan", "create", "small", "--max-domains", "3"))["max_domains"] == 3
    assert (await does("plan", "change", "small", "--max-domains", "0", "--max-bytes", "9"))["max_domains"] is None
    assert (await does("plan", "show", "small"))["max_bytes"] == 9
    assert len((await does("plan", "ls"))["data"]) == 1  # type: ignore[arg-type]
    changed = await does("customer", "change", "ext:farm", "--plan-id", "small", "--expected-every-seconds", "3600")
    assert changed["plan_id"] and changed["expected_every_seconds"] == 3600
    assert (await does("customer", "put", "shop", "Shop", "--plan-id", "small"))["external_id"] == "shop"
    assert (await does("customer", "status", "ext:shop"))["is_connected"] is False
    assert (await does("customer", "terminate", "ext:shop", "--dry-run"))["dry_run"] is True
    assert (await does("customer", "terminate", "ext:shop"))["customer"]["state"] == "terminated"  # type: ignore[index]
    words = ("ext:farm", "bytes_received", "-5", "--at", "2026-01-01T00:00:00Z", "--reason", "spam")
    assert (await does("usage", "adjust", *words))["amount"] == -5
    assert len((await does("usage", "adjustments"))["data"]) == 1  # type: ignore[arg-type]
    assert len((await does("usage", "summary", "2026-01"))["data"]) == 3  # type: ignore[arg-type]
    assert len((await does("usage", "meters"))["data"]) > 5  # type: ignore[arg-type]
    assert (await does("event", "ls", "--limit", "1"))["has_more"] is True
    made = await does("webhook", "create", "https://hook.example.org/", "--type", "message.failed")
    endpoint = str(made["id"])
    assert str(made["secret"]).startswith("whsec_") and (await does("webhook", "show", endpoint))["types"] == [
        "message.failed"
    ]
    assert (await does("webhook", "change", endpoint, "--state", "disabled"))["state"] == "disabled"
    assert (await does("webhook", "rotate", endpoint))["secret"] != made["secret"]
    assert (await does("webhook", "deliveries", endpoint))["data"] == []
    assert (await does("webhook", "redeliver", endpoint, "--since", "2026-01-01T00:00:00Z"))["deliveries"] == 0
    assert len((await does("webhook", "ls"))["data"]) == 1  # type: ignore[arg-type]
    assert len((await does("audit", "ls"))["data"]) > 10  # type: ignore[arg-type]


async def test_a_message_as_a_person_sees_it(operator: Operator) -> None:
    await send_all(operator.provider.ports.smtp, ["shown"], Ledger(), 20)
    assert (await operator.does("queue", "ls", DOMAIN))["messages"] == {"queued": 1}
    data = (await operator.does("message", "ls", "--domain", DOMAIN, "--state", "queued"))["data"]
    message_id = str(data[0]["id"])  # type: ignore[index]
    traced = await odmr("message", "trace", message_id, **operator.env)
    assert traced.exit == 0 and re.search(
        r"^20\S+  \+0\.\d{3} s  message.received  \S+@demo.example$", traced.out, re.MULTILINE
    )
    shown = await odmr("message", "show", message_id, **operator.env)
    assert shown.exit == 0, shown
    for word in (message_id, "a@remote.example", f"user@{DOMAIN}", "message.received", "timeline"):
        assert word in shown.out
    raw = await odmr("message", "raw", message_id, **operator.env)
    assert raw.exit == 0 and "Message-ID: <shown@remote.example>" in raw.out
    for verb in ("hold", "release", "retry", "bounce", "purge"):
        moved = await operator.does("queue", verb, DOMAIN, "--reason", "x", "--dry-run")
        assert moved["recipients"] == (1 if verb in ("hold", "bounce", "purge") else 0)
    assert (await odmr("session", "disconnect", "sess_" + "0" * 26, **operator.env)).exit == EX_REFUSED
    table = await odmr("message", "ls", "--limit", "1", **operator.env)
    assert message_id in table.out and "There are more" not in table.out
    for verb, state in (
        ("hold", "held"),
        ("release", "queued"),
        ("retry", "queued"),
        ("bounce", "failed"),
        ("rm", "failed"),
    ):
        done = await operator.does("message", verb, message_id, "--reason", "a test")
        assert done == {"recipients": 0 if verb == "rm" else 1}
        assert (await operator.does("message", "show", message_id))["recipients"][0]["state"] == state  # type: ignore[index]
    await operator.provider.outbox.wait_for(1, 30)


async def test_what_the_api_refuses_is_1_and_its_sentence(operator: Operator) -> None:
    said = await odmr("customer", "show", "ext:nobody", **operator.env)
    assert (said.exit, said.err.strip()) == (
        EX_REFUSED,
        "There is nothing by that id that this key may see (not_found)",
    )
    said = await odmr("customer", "create", "x" * 300, **operator.env)
    assert (
        said.exit == EX_REFUSED and "/name: String should have at most 200 characters (validation_failed)" in said.err
    )
    said = await odmr("session", "show", "sess_x", **{**operator.env, "ODMR_API_KEY": "wrong"})
    assert (said.exit, said.err.strip()) == (EX_REFUSED, "Send a key as Authorization: Bearer odmr_... (unauthorized)")


async def test_every_other_exit_code(operator: Operator, tmp_path: Path) -> None:
    said = await odmr("whoami")
    assert said.exit == EX_UNAVAILABLE and said.err.startswith("ODMR_API_KEY is not set")
    said = await odmr("whoami", ODMR_API_KEY="x", ODMR_API_URL=f"http://127.0.0.1:{free_port()}")
    assert said.exit == EX_UNAVAILABLE and "does not answer" in said.err
    said = await odmr("whoami", ODMR_API_KEY_FILE="/nowhere")
    assert (said.exit, said.err.strip()) == (EX_NOINPUT, "/nowhere cannot be read: No such file or directory")
    said = await odmr("domain", "recipients", "x.example", "--from-file", str(tmp_path), **operator.env)
    assert said.exit == EX_NOINPUT and "cannot be read: Is a directory" in said.err
    assert (await odmr("customer", "fly")).exit == EX_USAGE
    assert (await odmr("db", "upgrade")).exit == EX_CONFIG
    said = await odmr("db", "upgrade", ODMR_DATABASE_URL=f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x")
    assert said.exit == EX_TEMPFAIL and "hunter2" not in said.err and said.err.count("\n") == 1, said
    assert (await odmr("db", "upgrade", ODMR_DATABASE_URL_FILE="/nowhere")).exit == EX_NOINPUT
    assert (await odmr("db", "upgrade", ODMR_DATABASE_URL=operator.provider.database_url)).exit == 0
    assert (await odmr("health", ODMR_ADMIN_LISTEN=f"127.0.0.1:{free_port()}")).exit == 1
    assert (await odmr("--version")).exit == 0


async def test_a_customer_in_one_step_and_what_the_doctor_says_of_it(operator: Operator, tmp_path: Path) -> None:
    """The secret once, the file to paste, the zone; then what is wrong, and what to type."""
    first, again = [
        await odmr("quickstart", "quick.example", "--client", "fetchmail", **operator.env) for _ in range(2)
    ]
    for said in (first, again):
        assert said.exit == 0, said
        assert "_odmr.quick.example. 3600 IN TXT" in said.out and "poll mx.provider.example protocol ODMR" in said.out
    assert "shown when it was made" in again.out and "shown when it was made" not in first.out
    said = await odmr("quickstart", "saved.example", "--save", str(tmp_path / "no"), **operator.env)
    assert (said.exit, said.err) == (EX_NOINPUT, f"{tmp_path / 'no'} is no folder: make it first\n")
    said = await odmr("quickstart", "saved.example", "--save", str(tmp_path), **operator.env)
    assert said.exit == 0 and f"(in {tmp_path}/secret)" in said.out
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600 and (tmp_path / "secret").read_text() not in said.out
    assert 'domain = ["saved.example"]' in (tmp_path / "connector.toml").read_text()
    ports = (
        "--smtp",
        f"127.0.0.1:{operator.provider.ports.smtp}",
        "--odmr",
        f"127.0.0.1:{operator.provider.ports.odmr}",
    )
    said = await odmr("doctor", *ports, "--json", **operator.env)
    found = {one["what"]: one for one in json.loads(said.out)}
    assert said.exit == EX_REFUSED
    assert {
        found[what]["why"] for what in ("the API answers", f"the MX port {ports[1]}", f"the ODMR port {ports[3]}")
    } == {""}
    assert (
        "MX" in found["DNS of quick.example"]["why"] and "domain verify" in found["DNS of quick.example"]["type_this"]
    )
    await send_all(operator.provider.ports.smtp, ["doctor"], Ledger(), 30)
    words = await odmr("doctor", "--smtp", f"127.0.0.1:{free_port()}", **operator.env)
    assert words.exit == EX_REFUSED and "no greeting" in words.out and "ok     the API answers" in words.out
    assert f"WRONG  mail for {DOMAIN}: mail waits since" in words.out


async def test_a_server_to_try_a_connector_against() -> None:
    """It prints what it took, and ends when it is told."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "sink", "--listen", f"127.0.0.1:{port}", cwd=HERE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == f"takes mail at 127.0.0.1:{port}\n".encode()
            await send_all(port, ["seen"], Ledger(), 20)
            said = (await process.stdout.readline()).decode()
    finally:
        process.terminate()
    assert said.startswith(f"from a@remote.example to user@{DOMAIN}, ") and await process.wait() == 0
    for wrong in ("nowhere", "192.0.2.1:2525"):
        refused = await odmr("sink", "--listen", wrong)
        assert (refused.exit, refused.err) == (
            1,
            f"{wrong} cannot be listened at: write HOST:PORT of a port that is free\n",
        )
