"""Certificates for customers who send a signed request (PKCS #10, RFC 2986), so that their key never leaves them.

A registered certificate is its own anchor in odmr, found by its fingerprint, whoever signed it (OpenSSL calls it a partial
chain). So there is no authority to guard: each one is signed by a key that is made for it and forgotten.
"""

from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: How long one lasts: the credential is what is revoked, and a fleet in the field is not visited every year.
LIFETIME: Final = timedelta(days=5 * 365)
#: For clocks that are behind.
EARLIER: Final = timedelta(days=1)
#: Bits of an RSA key: what TLS libraries still take (NIST SP 800-57 part 1), and what costs no second to verify.
RSA_BITS: Final = range(2048, 8193)
#: Octets of a name in a certificate (RFC 5280 appendix A.1, ub-common-name).
MAX_COMMON_NAME: Final = 64


class BadRequest(Exception):
    """It is no request, it is not signed by its own key, or the key is of a kind that we do not take."""


def issue(request: bytes, authcid: str, now: datetime) -> bytes:
    """The certificate, DER, for a request, DER. Of the request only the key is used. Raises BadRequest."""
    try:
        asked = x509.load_der_x509_csr(request)
        is_signed, key = asked.is_signature_valid, asked.public_key()
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise BadRequest(str(error)) from None
    if not is_signed:
        raise BadRequest("it is not signed by its own key")
    match key:
        case rsa.RSAPublicKey() if key.key_size in RSA_BITS:
            pass
        case ec.EllipticCurvePublicKey() | ed25519.Ed25519PublicKey():
            pass
        case _:
            raise BadRequest("the key is not RSA of 2048 to 8192 bits, ECDSA or Ed25519")
    signer = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(authcid))
        .issuer_name(_name("ODMR provider, made for one certificate"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:MAX_COMMON_NAME])])
