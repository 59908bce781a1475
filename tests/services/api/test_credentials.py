"""Credentials beyond a name and a secret: which domains, for how long the old secret, certificates by request, files to paste."""

import tomllib
from ssl import DER_cert_to_PEM_cert

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from shared.storage.engine import Pool
from tests.services.api.conftest import Api, make_customer
from tests.services.auth.test_issuer import request


async def _made(api: Api, **body: object) -> dict[str, object]:
    answer = await api.operator.post("/v1/credentials", json={"customer_id": "ext:x-farm", **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_the_domains_that_it_may_ask_for(api: Api) -> None:
    await make_customer(api, "farm")
    made = await _made(api, allowed_domains=["Farm.Example"])
    path = f"/v1/credentials/{made['id']}"
    assert (await api.operator.get(path)).json()["allowed_domains"] == ["farm.example"]
    for names in (["bücher.example"], []):
        changed = (await api.operator.patch(path, json={"allowed_domains": names})).json()
        assert changed["allowed_domains"] == [name.encode("idna").decode() for name in names]
    assert (await api.operator.patch(path, json={"allowed_domains": ["no name"]})).status_code == 422


async def test_a_rotation_says_until_when_the_old_secret_is_good(api: Api, pool: Pool) -> None:
    await make_customer(api, "farm")
    made = await _made(api)
    path = f"/v1/credentials/{made['id']}"
    assert (await api.operator.post(f"{path}/rotate")).json()["former_until"] is None
    assert (await api.operator.post(f"{path}/rotate", json={"overlap_seconds": 60})).json()["former_until"] is not None
    await pool.execute("UPDATE credentials SET former_until = now() - interval '1 second'")
    assert (await api.operator.get(path)).json()["former_until"] is None


async def test_a_request_is_answered_with_a_certificate(api: Api) -> None:
    await make_customer(api, "farm")
    asked = x509.load_der_x509_csr(request(ec.generate_private_key(ec.SECP256R1())))
    pem = asked.public_bytes(Encoding.PEM).decode()
    made = await _made(api, authcid="boat", certificate_request=pem)
    got = x509.load_pem_x509_certificate(str(made["certificate"]).encode())
    assert got.public_key() == asked.public_key() and made["secret"] == "" and made["mechanisms"] == ["EXTERNAL"]
    for wrong, says in (
        ({"certificate_request": "x"}, "not one PKCS #10 request"),
        (
            {"certificate_request": DER_cert_to_PEM_cert(b"x").replace("CERTIFICATE", "CERTIFICATE REQUEST")},
            "not signed by",
        ),
        ({"certificate_request": pem, "mechanisms": ["PLAIN"]}, "leave mechanisms out"),
        ({"certificate_request": pem, "certificate": "x"}, "not both"),
    ):
        answer = await api.operator.post("/v1/credentials", json={"customer_id": "ext:x-farm", **wrong})
        assert answer.json()["code"] == "invalid_value" and says in answer.json()["detail"], wrong


@pytest.mark.parametrize("client", ["connector", "fetchmail", "exim", "mdaemon"])
async def test_a_file_to_paste_names_the_provider_the_credential_and_the_domains(api: Api, client: str) -> None:
    await make_customer(api, "farm")
    for name in ("b.example", "a.example"):
        await api.operator.post("/v1/domains", json={"customer_id": "ext:x-farm", "name": name})
    made = await _made(api, authcid="boat")
    path = f"/v1/credentials/{made['id']}/client_config"
    answer = await api.operator.get(path, params={"for": client})
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert all(word in answer.text for word in ("mx.provider.example", "boat", "a.example", "b.example"))
    assert str(made["secret"]) not in answer.text
    await api.operator.patch(f"/v1/credentials/{made['id']}", json={"allowed_domains": ["b.example"]})
    assert "a.example" not in (await api.operator.get(path, params={"for": client})).text


async def test_which_client_can_use_which_credential(api: Api) -> None:
    await make_customer(api, "farm")
    strict = await _made(api, mechanisms=["SCRAM-SHA-256"])
    for client in ("fetchmail", "exim", "mdaemon"):
        answer = await api.operator.get(f"/v1/credentials/{strict['id']}/client_config", params={"for": client})
        assert answer.json()["code"] == "conflict" and "CRAM-MD5" in answer.json()["detail"]
    pem = x509.load_der_x509_csr(request(ec.generate_private_key(ec.SECP256R1()))).public_bytes(Encoding.PEM).decode()
    boat = await _made(api, certificate_request=pem)
    said = tomllib.loads((await api.operator.get(f"/v1/credentials/{boat['id']}/client_config")).text)
    assert said["provider"] == "mx.provider.example:3368" and said["tls"] == "implicit" and "user" not in said
