"""Certificates for tests: authorities, and servers that they vouch for."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_A_DAY = timedelta(days=1)


class Authority:
    """An authority that signs certificates."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name.from_rfc4514_string("CN=an authority")
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self._certificate = self._signed(self._name, self._key.public_key(), constraints)

    def write(self, file: Path) -> Path:
        """Write the certificate of the authority."""
        file.write_bytes(self._certificate.public_bytes(Encoding.PEM))
        return file

    def write_server(self, certificate: Path, key: Path, address: str) -> None:
        """Write a certificate for a server with this address, and its key."""
        own = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        signed = self._signed(x509.Name.from_rfc4514_string("CN=a server"), own.public_key(), names)
        certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key.chmod(0o600)

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            self._name, name, key, x509.random_serial_number(), now - _A_DAY, now + _A_DAY
        )
        return builder.add_extension(extension, critical=True).sign(self._key, hashes.SHA256())
