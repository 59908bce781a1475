"""Each wrong setting is one sentence on standard error and exit code 78."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from localserve.provider import HERE
from services.api.settings import ApiSettings

GOOD = {
    "ODMR_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x",
    "ODMR_NATS_URL": "nats://127.0.0.1:1",
    "ODMR_SEAL_KEY": base64.b64encode(b"k" * 32).decode(),
    "ODMR_API_SEAL_KEY": base64.b64encode(b"a" * 32).decode(),
}

BAD: list[tuple[str, dict[str, str | None], str]] = [
    ("inbound", {"ODMR_DATABASE_URL": None}, "ODMR_DATABASE_URL is not set; see README.md, Settings"),
    ("inbound", {"ODMR_NATS_URL": None}, "ODMR_NATS_URL is not set; see README.md, Settings"),
    (
        "inbound",
        {"ODMR_SMTP_PROXY_LISTEN": "127.0.0.1:12525"},
        "ODMR_SMTP_PROXY_LISTEN needs ODMR_PROXY_NETWORKS: whoever may speak there says who he is",
    ),
    (
        "odmr",
        {"ODMR_ODMR_PROXY_LISTEN": "127.0.0.1:13366"},
        "ODMR_ODMR_PROXY_LISTEN needs ODMR_PROXY_NETWORKS: whoever may speak there says who he is",
    ),
    (
        "odmr",
        {"ODMR_ODMR_TLS_PROXY_LISTEN": "127.0.0.1:13367"},
        "ODMR_ODMR_TLS_PROXY_LISTEN needs ODMR_PROXY_NETWORKS: whoever may speak there says who he is",
    ),
    (
        "inbound",
        {"ODMR_OTLP_ENDPOINT": "collector:4318"},
        "ODMR_OTLP_ENDPOINT is wrong: write the URL of an OTLP collector, such as http://127.0.0.1:4318",
    ),
    ("odmr", {"ODMR_TRACE_RATIO": "2"}, "ODMR_TRACE_RATIO is wrong: Input should be less than or equal to 1"),
    (
        "odmr",
        {"ODMR_PROXY_NETWORKS": "10.0.0.1/8"},
        "ODMR_PROXY_NETWORKS is wrong: write networks with spaces between them, such as 10.0.0.0/8 fd00::/8",
    ),
    (
        "inbound",
        {"ODMR_MAX_MESSAGE_BYTES": "1"},
        "ODMR_MAX_MESSAGE_BYTES is wrong: Input should be greater than or equal to 65536",
    ),
    (
        "inbound",
        {"ODMR_MAX_MESSAGE_BYTES": "big"},
        "ODMR_MAX_MESSAGE_BYTES is wrong: Input should be a valid integer, unable to parse string as an integer",
    ),
    (
        "inbound",
        {"ODMR_DRAIN_SECONDS": "-1"},
        "ODMR_DRAIN_SECONDS is wrong: Input should be greater than or equal to 0",
    ),
    ("inbound", {"ODMR_SMTP_LISTEN": "nowhere"}, "ODMR_SMTP_LISTEN is wrong: write host:port, such as 127.0.0.1:25"),
    ("inbound", {"ODMR_LOG_LEVEL": "loud"}, "ODMR_LOG_LEVEL is wrong: write debug, info, warning or error"),
    (
        "inbound",
        {"ODMR_FAILPOINT": "x=explode"},
        "ODMR_FAILPOINT has 'x=explode'; write NAME=kill, NAME=kill:PIDFILE, NAME=raise, NAME=raise:SECONDS or NAME=stop:SECONDS, then @N",
    ),
    ("odmr", {"ODMR_CRAM_MD5": "maybe"}, "ODMR_CRAM_MD5 is wrong: Input should be 'tls', 'always' or 'never'"),
    (
        "odmr",
        {"ODMR_LEASE_SECONDS": "0.1"},
        "ODMR_LEASE_SECONDS is wrong: Input should be greater than or equal to 0.5",
    ),
    (
        "odmr",
        {"ODMR_ODMR_LISTEN": "127.0.0.1:99999"},
        "ODMR_ODMR_LISTEN is wrong: write host:port, such as 127.0.0.1:25",
    ),
    ("odmr", {"ODMR_TLS_CERTIFICATE": "/x"}, "set both ODMR_TLS_CERTIFICATE and ODMR_TLS_KEY, or neither"),
    (
        "odmr",
        {"ODMR_ODMR_TLS_LISTEN": "127.0.0.1:3367"},
        "ODMR_ODMR_TLS_LISTEN needs ODMR_TLS_CERTIFICATE and ODMR_TLS_KEY",
    ),
    (
        "odmr",
        {"ODMR_TLS_CERTIFICATE": "/nowhere", "ODMR_TLS_KEY": "/nowhere"},
        "ODMR_TLS_CERTIFICATE is wrong: /nowhere cannot be read",
    ),
    (
        "auth",
        {"ODMR_SEAL_KEY": "short"},
        "ODMR_SEAL_KEY is wrong: write 32 random octets in base64, such as `openssl rand -base64 32` prints",
    ),
    (
        "auth",
        {"ODMR_SEAL_KEY": None, "ODMR_SEAL_KEY_FILE": "/nowhere"},
        "ODMR_SEAL_KEY_FILE names /nowhere, which cannot be read",
    ),
    (
        "outbound",
        {"ODMR_SWEEP_SECONDS": "0"},
        "ODMR_SWEEP_SECONDS is wrong: Input should be greater than or equal to 0.05",
    ),
    (
        "odmr",
        {"ODMR_ODMR_CERTIFICATE_LISTEN": "127.0.0.1:3368"},
        "ODMR_ODMR_CERTIFICATE_LISTEN needs ODMR_TLS_CERTIFICATE and ODMR_TLS_KEY",
    ),
    ("odmr", {"ODMR_REQUIRE_TLS": "true"}, "ODMR_REQUIRE_TLS needs ODMR_TLS_CERTIFICATE and ODMR_TLS_KEY"),
    (
        "odmr",
        {"ODMR_REQUIRE_TLS": "perhaps"},
        "ODMR_REQUIRE_TLS is wrong: Input should be a valid boolean, unable to interpret input",
    ),
    ("odmr", {"ODMR_PLAIN": "always"}, "ODMR_PLAIN is wrong: Input should be 'tls' or 'never'"),
    ("odmr", {"ODMR_NOOP_SECONDS": "241"}, "ODMR_NOOP_SECONDS is wrong: Input should be less than or equal to 240"),
    ("odmr", {"ODMR_DOT_SECONDS": "0"}, "ODMR_DOT_SECONDS is wrong: Input should be greater than 0"),
    ("odmr", {"ODMR_MAX_SESSIONS": "0"}, "ODMR_MAX_SESSIONS is wrong: Input should be greater than or equal to 1"),
    (
        "odmr",
        {"ODMR_ATRN_INTERVAL_SECONDS": "-1"},
        "ODMR_ATRN_INTERVAL_SECONDS is wrong: Input should be greater than or equal to 0",
    ),
    (
        "inbound",
        {"ODMR_BARE_LINE_ENDS": "strict"},
        "ODMR_BARE_LINE_ENDS is wrong: Input should be 'normalize' or 'reject'",
    ),
    (
        "inbound",
        {"ODMR_POSTMASTER": "postmaster"},
        "ODMR_POSTMASTER is wrong: write an address of a domain that is hosted here, such as you@example.org",
    ),
    (
        "inbound",
        {"ODMR_POSTMASTER": "a b@example.org"},
        "ODMR_POSTMASTER is wrong: write an address of a domain that is hosted here, such as you@example.org",
    ),
    (
        "api",
        {"ODMR_API_SEAL_KEY": "x"},
        "ODMR_API_SEAL_KEY is wrong: write 32 random octets in base64, such as `openssl rand -base64 32` prints",
    ),
    (
        "api",
        {"ODMR_API_REQUESTS_PER_SECOND": "-1"},
        "ODMR_API_REQUESTS_PER_SECOND is wrong: Input should be greater than or equal to 0",
    ),
    ("api", {"ODMR_API_LISTEN": ""}, "ODMR_API_LISTEN is wrong: write host:port, such as 127.0.0.1:25"),
    (
        "api",
        {"ODMR_DATABASE_URL": "mysql://x"},
        "ODMR_DATABASE_URL is wrong: write postgresql://user:password@host:port/database",
    ),
    ("api", {"ODMR_NATS_URL": "127.0.0.1"}, "ODMR_NATS_URL is wrong: write nats://user:password@host:port"),
]


@pytest.mark.parametrize(
    ("service", "change", "sentence"), BAD, ids=[f"{service}-{'-'.join(change)}" for service, change, _ in BAD]
)
def test_a_wrong_setting_is_a_sentence(
    service: str, change: dict[str, str | None], sentence: str, tmp_path: Path
) -> None:
    env = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-m", f"services.{service}"],
        cwd=HERE,
        env={"PATH": "/usr/bin", **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr.strip()) == (78, sentence)


def test_a_published_port_may_have_its_address_before_it() -> None:
    for value, port in (("127.0.0.1:3366", 3366), ("[::1]:366", 366), ("25366", 25366)):
        settings = ApiSettings(
            database_url="postgresql://x",
            nats_url="nats://x",
            api_seal_key=base64.b64encode(b"k" * 32).decode(),
            port=value,  # type: ignore[arg-type]  # as the environment has it
        )
        assert settings.port == port


def test_a_secret_does_not_print() -> None:
    env = {"PATH": "/usr/bin", **GOOD, "ODMR_SEAL_KEY": "hunter2", "ODMR_LEASE_SECONDS": "x"}
    for service in ("auth", "odmr"):
        done = subprocess.run(
            [sys.executable, "-m", f"services.{service}"], cwd=HERE, env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 78 and "hunter2" not in done.stderr + done.stdout
