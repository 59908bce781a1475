"""A CA and a certificate for 127.0.0.1 and localhost, made at the first start, so that TLS is real on one machine too."""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from localserve.layout import Layout
from shared.clock import Clock

LIFETIME: Final = timedelta(days=3650)


def prepare(layout: Layout, clock: Clock, hostname: str = "localhost") -> tuple[Path, Path, Path]:
    """CA, certificate chain and key, PEM, for this name and for this machine's own."""
    folder = layout.root / "tls"
    ca_file, chain_file, key_file = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    if not (ca_file.is_file() and chain_file.is_file() and key_file.is_file()):
        now = clock.now() - timedelta(days=1)
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odmr localserve CA")])
        ca = (
            x509.CertificateBuilder(
                ca_name, ca_name, ca_key.public_key(), x509.random_serial_number(), now, now + LIFETIME
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
            .add_extension(_key_usage(is_ca=True), critical=True)
            .sign(ca_key, SHA256())
        )
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        names: list[x509.GeneralName] = [x509.DNSName(known) for known in dict.fromkeys((hostname, "localhost"))]
        names += [x509.IPAddress(ip_address(known)) for known in ("127.0.0.1", "::1")]
        certificate = (
            x509.CertificateBuilder(ca_name, name, key.public_key(), x509.random_serial_number(), now, now + LIFETIME)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .add_extension(_key_usage(is_ca=False), critical=True)
            .sign(ca_key, SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
        layout.write_private(key_file, private)
        chain_file.write_bytes(certificate.public_bytes(Encoding.PEM))
        ca_file.write_bytes(ca.public_bytes(Encoding.PEM))
    return ca_file, chain_file, key_file


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )
