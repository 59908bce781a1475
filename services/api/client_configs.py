"""GET /v1/credentials/{id}/client_config: what the customer pastes, for the programs that fetch mail by ODMR."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse

from services.api.access import PartsOf
from services.api.credentials import Reader, get_credential
from services.api.errors import Problem
from services.api.parts import Calls
from services.api.schemas import PROBLEMS
from shared.protocol.sasl import cram_md5
from shared.storage.credentials import CredentialRecord

router = APIRouter(prefix="/v1/credentials", tags=["credentials"], responses=PROBLEMS)
Client = Literal["connector", "fetchmail", "exim", "mdaemon"]
ClientQuery = Annotated[Client, Query(alias="for", description="the program that fetches")]


@router.get(
    "/{credential_id}/client_config",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The file"}},
)
async def read_client_config(
    credential_id: str, parts: PartsOf, principal: Reader, client: ClientQuery = "connector"
) -> PlainTextResponse:
    """A file to paste, without the secret: that is told once, and each file says where it goes."""
    record = await get_credential(parts, principal, credential_id)
    domains = list(record.allowed_domains)
    if not domains:
        hosted = await parts.domains.page(principal, record.customer_id, None, 100)
        domains = sorted(domain.name for domain in hosted)
    if client != "connector" and cram_md5.NAME not in record.mechanisms:
        has = ", ".join(record.mechanisms)
        raise Problem("conflict", f"{client} needs a credential with CRAM-MD5; this one has {has}")
    write = {"connector": connector, "fetchmail": fetchmail, "exim": exim, "mdaemon": mdaemon}[client]
    return PlainTextResponse(write(parts.calls, record, domains))


def connector(calls: Calls, record: CredentialRecord, domains: list[str]) -> str:
    """For our own connector: `python -m connector run --config FILE`."""
    names = ", ".join(f'"{name}"' for name in domains)
    if record.certificate_sha256 is not None:
        proof = 'certificate = "/etc/odmr/certificate.pem"\nkey = "/etc/odmr/key.pem"\ntls = "implicit"'
    else:
        proof = f'user = "{record.authcid}"\nsecret_file = "/etc/odmr/secret" # holds the secret and nothing else; chmod 600'
    port = calls.certificate_port if record.certificate_sha256 is not None else calls.port
    return f"""# /etc/odmr/connector.toml: odmr-connector run --config /etc/odmr/connector.toml
provider = "{calls.hostname}:{port}"
{proof}
domain = [{names}]
deliver = "127.0.0.1:25" # your own mail server
live = true # stays on the line: mail comes when it arrives
"""


def fetchmail(calls: Calls, record: CredentialRecord, domains: list[str]) -> str:
    """For fetchmail, which knows CRAM-MD5 alone, and TLS only from the first octet."""
    return f"""# ~/.fetchmailrc (chmod 600): fetchmail --daemon 300
poll {calls.hostname} protocol ODMR service {calls.tls_port} timeout 600
  user "{record.authcid}" password "PUT THE SECRET HERE" ssl sslcertck
  fetchdomains {" ".join(domains)}
  smtphost 127.0.0.1/25
"""


def exim(calls: Calls, record: CredentialRecord, domains: list[str]) -> str:
    """For Exim from 4.98 on (chapter "ODMR customer connection" of its specification)."""
    return f"""# Exim 4.98 or newer; call with: exim -atrn {calls.hostname} {",".join(domains)}
# Put each part into the section of the configuration that it names. The domains must be local ones.

# begin routers (before all others)
odmr_provider:
  driver = manualroute
  condition = ${{if eq {{$atrn_mode}}{{C}}}}
  route_data = {calls.hostname}
  transport = odmr_call

# begin transports
odmr_call:
  driver = smtp
  port = {calls.port}
  hosts_require_auth = *
  hosts_require_tls = *
  tls_verify_certificates = system
  command_timeout = 10m

# begin authenticators
odmr_cram:
  driver = cram_md5
  public_name = CRAM-MD5
  client_name = {record.authcid}
# this file holds the secret and nothing else
  client_secret = ${{readfile{{/etc/exim4/odmr.secret}}{{}}}}
"""


def mdaemon(calls: Calls, record: CredentialRecord, domains: list[str]) -> str:
    """For MDaemon: what to type where."""
    return f"""MDaemon: Setup > Server Settings > DomainPOP & ODMR > "On-Demand Mail Relay (ODMR)"
(in older versions: Setup > RAS Dialup > On-Demand Mail Relay)

  Dequeue mail using ODMR ..... on
  Gateway or ISP host ......... {calls.hostname}
  Port ........................ {calls.port}
  Logon name .................. {record.authcid}
  Password .................... the secret that was told when the credential was made
  Domains ..................... {", ".join(domains)}
"""
