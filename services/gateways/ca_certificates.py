"""CA certificates that are stored with a gateway: only what they have signed is trusted."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from core.clock import now
from core.errors import Invalid
from core.text import N_, replace_unstorable

MAX_CA_LENGTH = 65_536  # characters of all certificates of a gateway
MAX_CA_COUNT = 20
MAX_SUBJECT_LENGTH = 300  # characters
BEGIN = "-----BEGIN "
CERTIFICATE_LABEL = "CERTIFICATE-----"


@dataclass(frozen=True)
class CaCertificate:
    """What is shown of a CA certificate. The fingerprint is its SHA-256 in hexadecimal digits."""

    subject: str
    expires_at: datetime
    fingerprint: str

    @property
    def is_expired(self) -> bool:
        """Whether the certificate is not valid any more."""
        return self.expires_at <= now()

    def __str__(self) -> str:
        """Describe the certificate in one line, for the audit."""
        return f"{self.subject} (SHA-256 {self.fingerprint}, until {self.expires_at:%Y-%m-%d})"


def normalize_ca_certificates(text: str | None) -> str | None:
    """Check PEM certificates, and return them without other texts; a blank one becomes None."""
    text = (text or "").strip()
    if not text:
        return None
    labels = [part.lstrip() for part in text.split(BEGIN)[1:]]
    if any(not label.startswith(CERTIFICATE_LABEL) for label in labels):
        reason = N_(
            "This contains more than certificates, such as a private key. Enter only certificates."
        )
        raise Invalid("ca_not_only_certificates", reason, field="ca_certificates")
    if len(labels) > MAX_CA_COUNT:
        reason = N_("At most %(max_length)s certificates.")
        raise Invalid("ca_too_many", reason, field="ca_certificates", max_length=MAX_CA_COUNT)
    try:
        certificates = x509.load_pem_x509_certificates(text.encode())
        pem = "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)
        _ = [_describe(one) for one in certificates]
        ssl.create_default_context(cadata=pem)
    except (ValueError, x509.InvalidVersion, ssl.SSLError):
        reason = N_(
            "This is not a certificate in PEM format. It begins with -----BEGIN CERTIFICATE-----."
        )
        raise Invalid("ca_unreadable", reason, field="ca_certificates") from None
    return pem


@lru_cache(maxsize=256)
def list_ca_certificates(pem: str | None) -> Sequence[CaCertificate]:
    """Return what is shown of stored CA certificates, in their order."""
    if not pem:
        return ()
    return tuple(_describe(one) for one in x509.load_pem_x509_certificates(pem.encode()))


def get_audited_value(name: str, value: Any) -> object:
    """Return a value of a gateway's field as the audit records it: certificates as lines."""
    if name == "ca_certificates":
        return [str(one) for one in list_ca_certificates(value)]
    return value


def _describe(certificate: x509.Certificate) -> CaCertificate:
    subject = replace_unstorable(certificate.subject.rfc4514_string())
    fingerprint = certificate.fingerprint(SHA256()).hex()
    shown = "".join(sign if sign.isprintable() else "�" for sign in subject)
    return CaCertificate(
        shown[:MAX_SUBJECT_LENGTH] or fingerprint, certificate.not_valid_after_utc, fingerprint
    )
