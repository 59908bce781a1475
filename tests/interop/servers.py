"""Customers' mail servers that nobody here wrote, run from unpacked packages: Postfix on a port, Exim as a command.

Each tells by its log which messages it took.
"""

import asyncio
import contextlib
import os
import pwd
import re
import shlex
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from localserve.layout import free_port
from shared.config import environment
from tests.interop.peers import EXIM, POSTFIX
from tests.waiting import until


@dataclass(frozen=True, slots=True)
class Server:
    """How the connector is told of it, and where it logs."""

    deliver: str
    log: Path
    pattern: str

    def names(self) -> list[str]:
        """The messages that it took, in order."""
        text = self.log.read_text(errors="replace") if self.log.is_file() else ""
        return re.findall(self.pattern, text)

    async def took(self, count: int) -> list[str]:
        """The same, once there are so many."""

        async def has_all() -> bool:
            return len(self.names()) >= count

        await until(has_all, 60, f"{count} messages in {self.log.name}")
        return self.names()


POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
command_directory = {postfix}/usr/sbin
daemon_directory = {postfix}/usr/lib/postfix/sbin
shlib_directory = {postfix}/usr/lib/postfix
meta_directory = {root}/conf
mail_owner = daemon
setgid_group = games
default_privs = nobody
import_environment = MAIL_CONFIG LD_LIBRARY_PATH
export_environment = LD_LIBRARY_PATH
myhostname = mail.customer.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
disable_dns_lookups = yes
maillog_file = {root}/data/log
maillog_file_prefixes = {root}
default_transport = discard:
relay_transport = discard:
"""
POSTFIX_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
discard unix - - n - - discard
error unix - - n - - error
retry unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
"""
QUEUES = (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace", "maildrop",
    "public", "pid",
)  # fmt: skip


def _root_only(what: str) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"{what} runs as root only")


@asynccontextmanager
async def postfix(settings: str = "") -> AsyncIterator[Server]:
    """Postfix of its own folder, on a free port; `settings` are added to its main.cf."""
    _root_only("Postfix")
    master = POSTFIX / "usr" / "lib" / "postfix" / "sbin" / "master"
    if not master.is_file():
        pytest.skip("Postfix is not unpacked: run make peers, which does it")
    root, port = Path(tempfile.mkdtemp(prefix="odmr-postfix-")), free_port()
    root.chmod(0o755)
    for folder in ("conf", "data", *(f"queue/{name}" for name in QUEUES)):
        (root / folder).mkdir(parents=True)
    (root / "conf" / "main.cf").write_text(POSTFIX_MAIN.format(root=root, postfix=POSTFIX) + settings)
    (root / "conf" / "master.cf").write_text(POSTFIX_MASTER.format(port=port))
    owner = pwd.getpwnam("daemon").pw_uid
    for path in (root / "data", *(root / "queue").iterdir()):
        os.chown(path, 0 if path.name == "pid" else owner, -1)
    for name, mode in (("public", 0o710), ("maildrop", 0o730)):
        shutil.chown(root / "queue" / name, group="games")
        (root / "queue" / name).chmod(mode)
    env = {
        **environment(),
        "LD_LIBRARY_PATH": str(POSTFIX / "usr" / "lib" / "postfix"),
        "MAIL_CONFIG": str(root / "conf"),
    }
    process = await asyncio.create_subprocess_exec(
        "setpriv", "--pdeathsig", "TERM", str(master), "-c", str(root / "conf"), env=env, start_new_session=True
    )

    async def answers() -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    try:
        await until(answers, 20, "Postfix answers")
        yield Server(f"127.0.0.1:{port}", root / "data" / "log", r"message-id=<([^@>]+)@remote\.example>")
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
        shutil.rmtree(root, ignore_errors=True)


EXIM_CONFIG = """
exim_path = {exim}
spool_directory = {root}/spool
log_file_path = {root}/log/%slog
primary_hostname = mail.customer.example
domainlist local_domains = *
acl_smtp_rcpt = accept
acl_smtp_data = accept
pipelining_advertise_hosts = *
chunking_advertise_hosts = *
tls_advertise_hosts =
host_lookup =
never_users =
recipients_max = 1000
queue_only = true
smtp_accept_max_per_connection = {most}
log_selector = +received_recipients
begin routers
all:
  driver = accept
  transport = nowhere
begin transports
nowhere:
  driver = appendfile
  file = /dev/null
"""


@asynccontextmanager
async def exim(most: int = 1_000) -> AsyncIterator[Server]:
    """Exim as `exim -bs`: a command that speaks SMTP on its stdin. `most`: messages a connection, then 421."""
    _root_only("Exim")
    binary = EXIM / "usr" / "sbin" / "exim4"
    try:
        owner = pwd.getpwnam("Debian-exim")
    except KeyError:
        pytest.skip("the user Debian-exim, which Exim wants, is not there: run make peers, which makes it")
    if not binary.is_file():
        pytest.skip("Exim is not unpacked: run make peers, which does it")
    root = Path(tempfile.mkdtemp(prefix="odmr-exim-"))
    root.chmod(0o755)
    for name in ("spool", "log"):
        (root / name).mkdir()
        os.chown(root / name, owner.pw_uid, owner.pw_gid)
    config = root / "exim.conf"
    config.write_text(EXIM_CONFIG.format(exim=binary, root=root, most=most))
    try:
        command = shlex.join([str(binary), "-C", str(config), "-bs"])
        yield Server(f"exec:{command}", root / "log" / "mainlog", r"<= .* id=([^@ ]+)@remote\.example")
    finally:
        shutil.rmtree(root, ignore_errors=True)
