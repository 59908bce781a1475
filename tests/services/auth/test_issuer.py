"""Certificates for signed requests: only the key of a request is used, and only one that signed it."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.auth.issuer import LIFETIME, BadRequest, issue

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
RSA = rsa.generate_private_key(65537, 2048)


def request(key: object, name: str = "anybody") -> bytes:
    """A request, DER, as a customer makes it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, algorithm)  # type: ignore[arg-type]
    return signed.public_bytes(Encoding.DER)


@pytest.mark.parametrize("key", [RSA, ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()])
def test_a_certificate_has_the_key_and_our_name_for_it(key: object) -> None:
    made = x509.load_der_x509_certificate(issue(request(key, "root"), "farm", NOW))
    as_der = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    assert made.public_key().public_bytes(*as_der) == key.public_key().public_bytes(*as_der)  # type: ignore[attr-defined]
    assert made.subject.rfc4514_string() == "CN=farm"
    assert made.not_valid_before_utc < NOW and made.not_valid_after_utc == NOW + LIFETIME
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize(
    "wrong",
    [
        b"", b"\x30\x03\x02\x01\x01", request(RSA)[:-1],
        request(RSA)[:-4] + b"abcd", request(rsa.generate_private_key(65537, 1024)), request(dsa.generate_private_key(2048)),
    ],
    ids=["nothing", "no request", "cut", "not signed by its key", "short RSA", "DSA"],
)  # fmt: skip
def test_what_is_no_good_request_gets_none(wrong: bytes) -> None:
    with pytest.raises(BadRequest):
        issue(wrong, "farm", NOW)
