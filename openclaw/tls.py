"""TLS connections to gateways: which certificates are trusted, and why a handshake failed."""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress

from core.http.address_policy import IpAddress
from openclaw.errors import ErrorKind, GatewayError

PROBE_TIMEOUT = 5.0  # seconds
NO_TLS_SENTENCE = "Who answers there does not speak TLS."
TLS_REQUIRED_SENTENCE = "Who answers there speaks TLS."

KIND_BY_VERIFY_CODE: Mapping[int, ErrorKind] = {
    10: ErrorKind.CERTIFICATE_EXPIRED,  # X509_V_ERR_CERT_HAS_EXPIRED
    62: ErrorKind.CERTIFICATE_NAME,  # X509_V_ERR_HOSTNAME_MISMATCH
    64: ErrorKind.CERTIFICATE_NAME,  # X509_V_ERR_IP_ADDRESS_MISMATCH
    92: ErrorKind.CA_KEY_USAGE,  # X509_V_ERR_CA_CERT_MISSING_KEY_USAGE, since Python 3.13
}
"""Error kinds by the code with which OpenSSL rejects a certificate."""


def create_tls_context(*, ca_certificates: str, allow_any: bool) -> ssl.SSLContext:
    """Create the context of a connection. Raises ssl.SSLError for invalid certificates.

    `ca_certificates` are PEM texts: only certificates that they have signed are trusted. Without
    them those of this machine are, or those of the file that `SSL_CERT_FILE` names.
    """
    context = ssl.create_default_context(cadata=ca_certificates or None)
    if allow_any:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def convert_tls_error(error: ssl.SSLError) -> GatewayError:
    """Convert an error of a TLS handshake."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return GatewayError(ErrorKind.NO_TLS, NO_TLS_SENTENCE)
    kind = KIND_BY_VERIFY_CODE.get(error.verify_code, ErrorKind.TLS)
    reason = f"The certificate is not trusted: {error.verify_message}."
    return GatewayError(kind, reason, details={"certificateProblem": error.verify_message})


async def speaks_tls(ip: IpAddress, port: int, host: str) -> bool:
    """Return whether a port accepts a TLS handshake. Nothing is sent after it."""
    context = create_tls_context(ca_certificates="", allow_any=True)
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(PROBE_TIMEOUT):
            _reader, writer = await asyncio.open_connection(
                str(ip), port, ssl=context, server_hostname=host
            )
            writer.transport.abort()
            return True
    return False
