"""`make run` as a person uses it: demo.env, two starts, kill -9, a taken port. And `make demo`."""

import os
import shlex
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localserve.layout import free_port, temporary_root
from localserve.provider import HERE
from localserve.sink import Sink

pytestmark = [pytest.mark.xdist_group("run"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with temporary_root("odmr run ") as path:  # a path with a space in it
        yield path


@contextmanager
def up(root: Path, ports: list[int]) -> Iterator["subprocess.Popen[str]"]:
    """The command behind `make run`."""
    names = ("--smtp", "--odmr", "--odmr-tls", "--api", "--odmr-certificate")
    words = [word for name, port in zip(names, ports, strict=True) for word in (name, str(port))]
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "up", str(root), *words],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_for(is_true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)  # noqa: S311


def demo_env(root: Path, process: "subprocess.Popen[str]") -> dict[str, str]:
    wait_for(lambda: (root / "demo.env").is_file() or process.poll() is not None)
    assert process.poll() is None, process.stdout and process.stdout.read()
    assert (root / "demo.env").stat().st_mode & 0o777 == 0o600
    return dict(
        word.split("=", 1) for line in (root / "demo.env").read_text().splitlines() for word in shlex.split(line)
    )


def send(env: dict[str, str], name: str) -> None:
    with smtplib.SMTP("127.0.0.1", int(env["ODMR_SMTP_PORT"]), timeout=20) as smtp:
        smtp.sendmail("a@remote.example", [f"{name}@{env['ODMR_DEMO_DOMAIN']}"], f"Subject: {name}\r\n\r\nx\r\n")


async def fetch(env: dict[str, str], root: Path) -> list[str]:
    sink = Sink()
    await sink.start()
    (root / "s").write_text(env["ODMR_DEMO_SECRET"])
    import asyncio

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connector", "once", "--provider", f"localhost:{env['ODMR_TLS_PORT']}", "--tls", "implicit",
        "--ca-file", env["ODMR_CA_FILE"], "--user", env["ODMR_DEMO_USER"], "--secret-file", str(root / "s"), "--deliver", f"127.0.0.1:{sink.port}",
        cwd=HERE,
    )  # fmt: skip
    assert await process.wait() == 0
    await sink.stop()
    return [message.forward_paths[0] for message in sink.messages]


def children_of(root: Path) -> list[int]:
    """Processes that the provider started, by their pid files, which still run."""
    alive = []
    for file in (root / "pids").glob("*.pid"):
        pid = int(file.read_text())
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            continue
        if state != "Z":
            alive.append(pid)
    return alive


def is_free(port: int) -> bool:
    """A process of threads may show as dead while the last of them still holds its ports."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


async def test_two_starts_with_a_kill_between(root: Path) -> None:
    ports = [free_port() for _ in range(5)]
    with up(root, ports) as process:
        env = demo_env(root, process)
        assert [int(env[name]) for name in ("ODMR_SMTP_PORT", "ODMR_PORT", "ODMR_TLS_PORT")] == ports[:3]
        assert env["ODMR_API_URL"] == f"http://127.0.0.1:{ports[3]}" and env["ODMR_DEMO_DOMAIN"] == "demo.example"
        send(env, "before")
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for(lambda: not children_of(root) and all(is_free(port) for port in ports), 30)
    with up(root, ports) as process:
        wait_for(lambda: not (root / "demo.env").exists() or children_of(root) != [])
        again = demo_env(root, process)
        assert again == env
        send(again, "after")
        assert await fetch(again, root) == ["before@demo.example", "after@demo.example"]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stdout is not None
        said = process.stdout.read()
        assert (
            "fetchmail -f" in said
            and "swaks --server" in said
            and "connector once" in said
            and env["ODMR_DEMO_SECRET"] not in said
        )
    assert children_of(root) == []


def test_a_taken_port_is_one_sentence(root: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with up(root, [port, 0, 0, 0, 0]) as process:
            assert process.wait(60) == 1
            assert process.stdout is not None
            assert (
                process.stdout.read()
                == f"Port {port} (SMTP) is taken: stop what listens on 127.0.0.1:{port}, or choose another with --smtp\n"
            )
    assert children_of(root) == []


def test_a_folder_in_use_is_one_sentence(root: Path) -> None:
    (root / "demo.env").unlink(missing_ok=True)
    with up(root, [0, 0, 0, 0, 0]):
        wait_for((root / "demo.env").is_file)
        with up(root, [0, 0, 0, 0, 0]) as second:
            assert second.wait(60) == 1
            assert second.stdout is not None
            assert second.stdout.read() == f"{root} is in use: another provider runs there; stop it first\n"


def test_the_demo_ends_0_and_leaves_nothing() -> None:
    before = set(Path("/tmp").glob("odmr-demo-*"))
    done = subprocess.run([sys.executable, "-m", "cli", "demo"], cwd=HERE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every octet is the same" in done.stdout and "Nothing was left running" in done.stdout
    assert set(Path("/tmp").glob("odmr-demo-*")) == before
