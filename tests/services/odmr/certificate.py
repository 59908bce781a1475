"""A client's certificate, made for a test: of its own signature, as a customer might make one."""

from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from shared.clock import Clock


class Certificate:
    """Files in a folder of its own; `der` is what is registered."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        key, name = (
            ec.generate_private_key(ec.SECP256R1()),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "farm")]),
        )
        now = Clock().now()
        certificate = x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=1)
        ).sign(key, SHA256())
        #: As it is registered.
        self.der = certificate.public_bytes(Encoding.DER)
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"
        self.chain.write_bytes(certificate.public_bytes(Encoding.PEM))
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
