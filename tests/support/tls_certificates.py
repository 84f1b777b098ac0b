"""Certificates of TLS servers on this machine, self-signed or issued by a private CA."""

import datetime
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class PrivateCa:
    """A certificate authority of a test."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, name: str = "Office CA", *, has_key_usage: bool = True) -> "PrivateCa":
        """Create a CA; without key usage like CAs that older instructions create."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _start_certificate(_name(name), _name(name), key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        if has_key_usage:
            builder = builder.add_extension(_sign_usage(), critical=True)
        return cls(key, builder.sign(key, hashes.SHA256()))

    @property
    def pem(self) -> str:
        """The certificate of the CA."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        """The private key of the CA."""
        return _key_pem(self.key).decode()

    def create_tls_context(
        self, folder: Path, *names: str, age: datetime.timedelta = DAY
    ) -> ssl.SSLContext:
        """Create a TLS server context with a certificate of this CA; by default for 127.0.0.1.

        The certificate was issued some time ago, and is valid for two days.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _start_certificate(_name("server"), self.certificate.subject, key, age=age)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        builder = builder.add_extension(_alternative_names(*names), critical=False)
        return _server_context(folder, key, builder.sign(self.key, hashes.SHA256()))


def create_tls_context(folder: Path, *names: str) -> ssl.SSLContext:
    """Create a TLS server context with a self-signed certificate, in the file `server.pem`.

    It is valid for 127.0.0.1 and for the host names.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("server")
    builder = _start_certificate(name, name, key)
    builder = builder.add_extension(_alternative_names("127.0.0.1", *names), critical=False)
    return _server_context(folder, key, builder.sign(key, hashes.SHA256()))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _start_certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    age: datetime.timedelta = DAY,
) -> x509.CertificateBuilder:
    issued_at = datetime.datetime.now(datetime.UTC) - age
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issued_at)
        .not_valid_after(issued_at + 2 * DAY)
        .add_extension(identifier, critical=False)
    )


def _sign_usage() -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    no = dict.fromkeys((*names, "key_agreement", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(key_cert_sign=True, crl_sign=True, **no)


def _alternative_names(*names: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [
            x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
            for name in names or ("127.0.0.1",)
        ]
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _server_context(
    folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> ssl.SSLContext:
    file = folder / "server.pem"
    file.write_bytes(_key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
