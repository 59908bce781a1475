"""`make run`: the provider stays up until Ctrl-C. Prints what to type to send a mail and to fetch it."""

import asyncio
import contextlib
import shlex
import signal
import sys
from pathlib import Path

from localserve.layout import CannotStart, Ports
from localserve.provider import Provider
from localserve.provision import DEMO_DOMAIN, provision


async def serve(root: Path, ports: Ports) -> int:
    """Runs until SIGINT or SIGTERM; gives the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    provider = Provider(root, ports)
    starting = asyncio.create_task(_start(provider))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if not starting.done():
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            return 0
        starting.result()
        print(_welcome(provider), flush=True)
        failing = asyncio.create_task(provider.failed())
        await asyncio.wait({failing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if failing.done() and not stop.is_set():
            print(failing.result(), file=sys.stderr)
            return 1
        failing.cancel()
        print("Stopping.", flush=True)
        return 0
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        await provider.stop()


async def _start(provider: Provider) -> None:
    await provider.start()
    await provision(provider)
    _write_fetchmailrc(provider)


def _write_fetchmailrc(provider: Provider) -> None:
    """fetchmail speaks TLS only from the first octet, and wants its file closed to others."""
    user, secret = provider.secrets.demo_user, provider.secrets.demo_secret
    provider.layout.write_private(
        provider.layout.root / "fetchmailrc",
        f"poll 127.0.0.1 protocol ODMR service {provider.ports.odmr} timeout 600\n"
        f'  user "{user}" password "{secret}" fetchdomains {DEMO_DOMAIN} smtphost 127.0.0.1/2600\n',
    )
    provider.layout.write_private(provider.layout.root / "demo.secret", f"{secret}\n")


def _welcome(provider: Provider) -> str:
    root = provider.layout.root
    with contextlib.suppress(ValueError):
        root = root.relative_to(Path.cwd())
    python, ports, user = ".venv/bin/python", provider.ports, provider.secrets.demo_user
    sink = f"{python} -m aiosmtpd -n -l 127.0.0.1:2600"
    connector = (
        f"{python} -m connector once --provider 127.0.0.1:{ports.odmr} --user {user} "
        f"--secret-file {shlex.quote(str(root / 'demo.secret'))} --ca-file {shlex.quote(str(root / 'tls' / 'ca.pem'))} "
        f"--deliver 127.0.0.1:2600"
    )
    return f"""
The provider runs. Ctrl-C stops it; its data stays in {root}/.

  SMTP              127.0.0.1:{ports.smtp}    any local part at {DEMO_DOMAIN}
  ODMR, STARTTLS    127.0.0.1:{ports.odmr}
  ODMR, TLS         127.0.0.1:{ports.odmr_tls}; {ports.odmr_certificate} asks for a client's certificate
  HTTP              http://127.0.0.1:{ports.api}/docs
  demo customer     {root}/demo.env
  what senders hear {root}/outbox/    (notices of failed mail; nothing leaves this machine)

Send a mail:
  swaks --server 127.0.0.1:{ports.smtp} --from me@sender.example --to you@{DEMO_DOMAIN}

Have somewhere to put it, in another terminal:
  {sink}

Fetch it with the connector:
  {connector}

Fetch it with fetchmail:
  fetchmail -f {shlex.quote(str(root / "fetchmailrc"))} --nosyslog -v
"""
