"""`odmr quickstart`: a customer in one step, and all that it must be given: DNS records, the secret, a file to paste."""

import sys
from pathlib import Path
from typing import Final

from cli.api import EX_NOINPUT, ask
from client import credentials, customers, dns

#: What a client's own file is called where it is saved.
FILES: Final = {
    "connector": "connector.toml",
    "fetchmail": "fetchmailrc",
    "exim": "exim.conf",
    "mdaemon": "mdaemon.txt",
}


def quickstart(domain: str, name: str, client: str, save: Path | None) -> None:
    """Makes customer `ext:DOMAIN` with the domain and a credential, and prints what comes next. Twice is as once, but that
    the secret is shown once. Where it is to be saved, it is not shown at all."""
    if save is not None and not save.is_dir():  # before a secret is made that is told once
        sys.stderr.write(f"{save} is no folder: make it first\n")
        raise SystemExit(EX_NOINPUT)
    made = ask(customers.upsert_customer(f"ext:{domain}", name=name or domain, domains=[domain], credential=True))
    credential = made["credential"]
    known = credential or ask(credentials.list_credentials(customer_id=made["id"], limit=1))["data"][0]
    secret = credential["secret"] if credential else "(shown when it was made; odmr credential rotate makes a new one)"
    config = ask(credentials.read_client_config(known["id"], for_=client))  # type: ignore[arg-type]  # the command checks it
    if save is not None:
        _write_private(save / FILES[client], config)
        if credential:
            _write_private(save / "secret", credential["secret"].encode())
        secret = f"(in {save / 'secret'})"
    sys.stdout.write(f"""\
1. Put these lines into the zone of {domain}, then: odmr domain verify {domain}

{ask(dns.read_dns(domain))["zone"]}
2. Give the customer its secret, once, for {known["authcid"]}:

{secret}

3. Give it this file:

{config.decode()}
4. Look at it: odmr customer status ext:{domain}; odmr doctor
""")


def _write_private(path: Path, content: bytes) -> None:
    path.touch()
    path.chmod(0o600)
    path.write_bytes(content)
