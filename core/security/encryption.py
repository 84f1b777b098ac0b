"""Encrypt stored secrets with a key that is not in the database.

The key is derived from SECRET_KEY, or from a file in the data folder that is written once. A copy
of the database, such as a backup, cannot be decrypted without the key.
"""

import base64
import hashlib
import hmac
import os
import secrets
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.config.settings import Settings
from core.errors import Unavailable

KEY_FILE = "secret-key"  # in the data folder, where SECRET_KEY is not set
VERSION = "v1"  # of the format: AES-256-GCM
NONCE_LENGTH = 12  # bytes
KEY_PURPOSE = b"mission-control: secrets in the database"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
DIGEST_PURPOSE = b"mission-control: digests in the database"


class DecryptionError(Exception):
    """A value cannot be decrypted: wrong key, wrong context, or damaged."""


class SecretCipher:
    """Encrypt and decrypt texts, bound to a context that names where they are stored."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def encrypt(self, secret: str | bytes, context: str) -> str:
        """Encrypt a secret; `context` is authenticated and must be the same for decryption."""
        raw = secret.encode() if isinstance(secret, str) else secret
        nonce = secrets.token_bytes(NONCE_LENGTH)
        ciphertext = nonce + self._cipher.encrypt(nonce, raw, context.encode())
        return f"{VERSION}.{base64.urlsafe_b64encode(ciphertext).decode()}"

    def decrypt(self, encrypted: str, context: str) -> bytes:
        """Decrypt a secret that was encrypted with the same context. Raises DecryptionError."""
        version, _, text = encrypted.partition(".")
        try:
            raw = base64.urlsafe_b64decode(text.encode())
            if version != VERSION or len(raw) <= NONCE_LENGTH:
                raise DecryptionError(context)
            return self._cipher.decrypt(raw[:NONCE_LENGTH], raw[NONCE_LENGTH:], context.encode())
        except (InvalidTag, ValueError):
            raise DecryptionError(context) from None

    def digest(self, content: bytes) -> str:
        """Return a keyed hash, from which content cannot be guessed without the key."""
        return hmac.new(self._digest_key, content, hashlib.sha256).hexdigest()

    @cached_property
    def _cipher(self) -> AESGCM:
        """The cipher; the key is read on first use."""
        return AESGCM(self._derive_key(KEY_PURPOSE))

    @cached_property
    def _digest_key(self) -> bytes:
        return self._derive_key(DIGEST_PURPOSE)

    def derive_signing_key(self, purpose: bytes) -> ec.EllipticCurvePrivateKey:
        """Return a key on the curve P-256 that is always the same for a purpose.

        48 bytes make its bias negligible (FIPS 186-5, A.2.1).
        """
        number = int.from_bytes(self._derive_key(purpose, length=48))
        return ec.derive_private_key(number % (P256_ORDER - 1) + 1, ec.SECP256R1())

    def _derive_key(self, purpose: bytes, length: int = 32) -> bytes:
        secret = self._settings.secret_key or _read_or_create_key(
            self._settings.data_dir / KEY_FILE
        )
        return HKDF(SHA256(), length=length, salt=None, info=purpose).derive(secret.encode())


def _read_or_create_key(file: Path) -> str:
    """Return the content of the key file; create it, readable only by the owner, if missing."""
    try:
        if not file.exists():
            _write_new_file(file, secrets.token_urlsafe(32))
        return file.read_text().strip()
    except OSError as error:
        reason = f"There is no key to keep secrets with: set SECRET_KEY ({error.strerror})."
        raise Unavailable(reason) from error


def _write_new_file(file: Path, secret: str) -> None:
    """Create a complete file atomically, unless another process created it first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "w") as written:
            written.write(secret + "\n")
            written.flush()
            os.fsync(written.fileno())
        try:
            os.link(new, file)
        except FileExistsError:
            return
    finally:
        new.unlink()
