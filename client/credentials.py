"""Credentials of the HTTP API: written by `make openapi`, not by hand."""

from typing import Literal, TypedDict

from client.request import UNSET, Page, Request, Unset, request


class Credential(TypedDict):
    """A credential. `former_until`: until when the secret before the last rotation is good, too."""

    aliases: list[str]
    allowed_domains: list[str]
    authcid: str
    certificate_sha256: str | None
    created_at: str
    customer_id: str
    former_until: str | None
    id: str
    last_used_at: str | None
    mechanisms: list[str]
    when_empty: str


class MintedCredential(TypedDict):
    """A credential with its secret, which is told this once; empty for one with a certificate, which is there (PEM)
    when it was asked for by a request.
    """

    aliases: list[str]
    allowed_domains: list[str]
    authcid: str
    certificate: str | None
    certificate_sha256: str | None
    created_at: str
    customer_id: str
    former_until: str | None
    id: str
    last_used_at: str | None
    mechanisms: list[str]
    secret: str
    when_empty: str


def list_credentials(
    *, customer_id: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Request[Page[Credential]]:
    """Credentials, newest first."""
    return request("GET", "/v1/credentials", query={"customer_id": customer_id, "limit": limit, "cursor": cursor})


def create_credential(
    *,
    customer_id: str,
    aliases: list[str] | Unset = UNSET,
    allowed_domains: list[str] | Unset = UNSET,
    authcid: str | None | Unset = UNSET,
    certificate: str | None | Unset = UNSET,
    certificate_request: str | None | Unset = UNSET,
    mechanisms: list[Literal["SCRAM-SHA-256", "CRAM-MD5", "PLAIN"]] | None | Unset = UNSET,
    when_empty: Literal["refuse", "turn", "live"] | Unset = UNSET,
) -> Request[MintedCredential]:
    """Makes a credential for a customer. The answer has its secret, this once."""
    return request(
        "POST",
        "/v1/credentials",
        body={
            "aliases": aliases,
            "allowed_domains": allowed_domains,
            "authcid": authcid,
            "certificate": certificate,
            "certificate_request": certificate_request,
            "customer_id": customer_id,
            "mechanisms": mechanisms,
            "when_empty": when_empty,
        },
    )


def revoke_credential(credential_id: str) -> Request[None]:
    """Ends it: it proves nothing more, and its sessions end within a third of a lease."""
    return request("DELETE", "/v1/credentials/{}", credential_id, answer="nothing")


def read_credential(credential_id: str) -> Request[Credential]:
    """One credential."""
    return request("GET", "/v1/credentials/{}", credential_id)


def change_credential(
    credential_id: str,
    *,
    aliases: list[str] | None | Unset = UNSET,
    allowed_domains: list[str] | None | Unset = UNSET,
    when_empty: Literal["refuse", "turn", "live"] | None | Unset = UNSET,
) -> Request[Credential]:
    """Changes policies; they hold from the next login on."""
    return request(
        "PATCH",
        "/v1/credentials/{}",
        credential_id,
        body={"aliases": aliases, "allowed_domains": allowed_domains, "when_empty": when_empty},
    )


def read_client_config(
    credential_id: str, *, for_: Literal["connector", "fetchmail", "exim", "mdaemon"] | None = None
) -> Request[bytes]:
    """A file to paste, without the secret: that is told once, and each file says where it goes."""
    return request("GET", "/v1/credentials/{}/client_config", credential_id, query={"for": for_}, answer="bytes")


def rotate_credential(credential_id: str, *, overlap_seconds: int | Unset = UNSET) -> Request[MintedCredential]:
    """A new secret, told this once; the old one proves nothing from now on, or after the overlap."""
    return request("POST", "/v1/credentials/{}/rotate", credential_id, body={"overlap_seconds": overlap_seconds})
