"""A real SMTP server (aiosmtpd) on this machine, with STARTTLS, sign-in, rejections and stalls."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

USERNAME, PASSWORD = "control", "a password of the mail server"


@dataclass
class MailServer:
    """Receives e-mails. `answers` are responses to a command, by its name."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    signed_in: list[bool] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    stalled_command: str = ""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "smtp_host": "127.0.0.1",
            "smtp_port": self.port,
            "smtp_from": "MC <mc@example.com>",
        }

    async def handle_MAIL(self, server, session, envelope, address, options) -> str:  # noqa: N802
        envelope.mail_from = address
        return await self._answer("MAIL")

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:  # noqa: N802
        envelope.rcpt_tos.append(address)
        return await self._answer("RCPT")

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802
        answer = await self._answer("DATA")
        if answer.startswith("2"):
            self.mails.append(message_from_bytes(envelope.content, policy=default))
            self.senders.append(envelope.mail_from)
            self.signed_in.append(session.authenticated)
            self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return answer

    async def handle_QUIT(self, server, session, envelope) -> str:  # noqa: N802
        return await self._answer("QUIT", "221 Bye")

    async def _answer(self, command: str, usual: str = "250 OK") -> str:
        if command == self.stalled_command:
            await self.released.wait()
        return self.answers.get(command, usual)


def _authenticate(server, session, envelope, mechanism, data) -> AuthResult:
    is_known = (data.login, data.password) == (USERNAME.encode(), PASSWORD.encode())
    return AuthResult(success=is_known, handled=False)


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    at = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(hours=1))
        .not_valid_after(at + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    file, key_file = folder / "mail.pem", folder / "mail.key"
    file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file, key_file


@asynccontextmanager
async def run_mail_server(
    certificate: tuple[Path, Path] | None = None, *, security: str = "none"
) -> AsyncGenerator[MailServer]:
    """Run a server on a free port: without encryption, with STARTTLS, or with TLS."""
    mail_server = MailServer()
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
    loop = asyncio.get_running_loop()
    connections: list[SMTP] = []

    def build_protocol() -> SMTP:
        connections.append(
            SMTP(
                mail_server,
                hostname="mail.test",
                loop=loop,
                tls_context=context if security == "starttls" else None,
                require_starttls=security == "starttls",
                auth_require_tls=security == "starttls",
                authenticator=_authenticate,
            )
        )
        return connections[-1]

    server = await loop.create_server(
        build_protocol, "127.0.0.1", 0, ssl=context if security == "tls" else None
    )
    mail_server.port = server.sockets[0].getsockname()[1]
    yield mail_server
    mail_server.released.set()
    for connection in connections:
        if isinstance(connection.transport, asyncio.Transport):
            connection.transport.abort()
    server.close()
    await server.wait_closed()
