"""Keeping secrets that we must be able to read again: sealed by a key that is not in the database.

The key is made of SECRET_KEY, or of a file in the data folder that is written once. Whoever has the
database alone, as in a backup, can read nothing; whoever has lost the key can't either.
"""

import base64
import os
import secrets
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kit.errors import Unavailable
from kit.settings import Settings

FILE = "secret-key"  # in the data folder, where SECRET_KEY is not set
VERSION = "v1"  # of what is sealed: AES-256 in GCM
NONCE = 12  # bytes
PURPOSE = b"mission-control: secrets in the database"


class SealBroken(Exception):
    """What was sealed cannot be opened: by another key, for another place, or not at all."""


class Seal:
    """Seals texts for the place where they are kept, and opens them there and nowhere else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def close(self, secret: str | bytes, place: str) -> str:
        """Return a secret as it may be written into `place`."""
        raw = secret.encode() if isinstance(secret, str) else secret
        nonce = secrets.token_bytes(NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, raw, place.encode())
        return f"{VERSION}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, place: str) -> bytes:
        """Return the secret that was sealed for `place`. Raises SealBroken."""
        version, _, text = sealed.partition(".")
        try:
            raw = base64.urlsafe_b64decode(text.encode())
            if version != VERSION or len(raw) <= NONCE:
                raise SealBroken(place)
            return self._cipher.decrypt(raw[:NONCE], raw[NONCE:], place.encode())
        except (InvalidTag, ValueError):
            raise SealBroken(place) from None

    @cached_property
    def _cipher(self) -> AESGCM:
        """The key, read when it is first needed."""
        secret = self._settings.secret_key or _kept(self._settings.data_dir / FILE)
        derived = HKDF(SHA256(), length=32, salt=None, info=PURPOSE).derive(secret.encode())
        return AESGCM(derived)


def _kept(file: Path) -> str:
    """Return what the file holds. The first who needs it writes it, for nobody else to read."""
    try:
        if not file.exists():
            _write_once(file, secrets.token_urlsafe(32))
        return file.read_text().strip()
    except OSError as error:
        reason = f"There is no key to keep secrets with: set SECRET_KEY ({error.strerror})."
        raise Unavailable(reason) from error


def _write_once(file: Path, secret: str) -> None:
    """Write a file that is complete from its first moment, unless another was quicker."""
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
