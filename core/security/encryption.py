"""Encrypt stored secrets with a key that is not in the database.

The key is derived from SECRET_KEY, or from a file in the data folder that is written once. A copy
of the database, such as a backup, cannot be decrypted without the key. Each secret names the key
that encrypts it, so that a second key can be accepted while the key is replaced.
"""

import base64
import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.config.paths import COMMAND
from core.config.settings import Settings
from core.errors import Unavailable
from core.files import sync_folder
from core.text import N_

KEY_FILE = "secret-key"  # in the data folder, where SECRET_KEY is not set
PREVIOUS_KEY_FILE = "secret-key.previous"  # while the key is replaced
VERSION = "v2"  # of the format: AES-256-GCM, after the id of the key
FIRST_VERSION = "v1"  # the same without an id
NONCE_LENGTH = 12  # bytes
KEY_PURPOSE = b"mission-control: secrets in the database"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
DIGEST_PURPOSE = b"mission-control: digests in the database"
FINGERPRINT_PURPOSE = b"mission-control: fingerprint of the key"


class DecryptionError(Exception):
    """A value cannot be decrypted: wrong key, wrong context, or damaged."""


@dataclass(frozen=True)
class SecretKey:
    """A key from which others are derived, each for one purpose."""

    secret: str = field(repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """What distinguishes the key from others; the key cannot be computed from it."""
        return self.derive(FINGERPRINT_PURPOSE, length=16).hex()

    @property
    def id(self) -> str:
        """The beginning of the fingerprint, which names the key in secrets and in messages."""
        return get_key_id(self.fingerprint)

    @cached_property
    def cipher(self) -> AESGCM:
        """The cipher of secrets."""
        return AESGCM(self.derive(KEY_PURPOSE))

    def derive(self, purpose: bytes, length: int = 32) -> bytes:
        """Derive a key for a purpose."""
        return HKDF(SHA256(), length=length, salt=None, info=purpose).derive(self.secret.encode())


class SecretCipher:
    """Encrypt and decrypt texts, bound to a context that names where they are stored."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def encrypt(self, secret: str | bytes, context: str) -> str:
        """Encrypt a secret; `context` is authenticated and must be the same for decryption."""
        raw = secret.encode() if isinstance(secret, str) else secret
        nonce = secrets.token_bytes(NONCE_LENGTH)
        ciphertext = nonce + self.key.cipher.encrypt(nonce, raw, context.encode())
        return f"{self.prefix}{base64.urlsafe_b64encode(ciphertext).decode()}"

    def decrypt(self, encrypted: str, context: str) -> bytes:
        """Decrypt a secret that was encrypted with the same context. Raises DecryptionError."""
        version, _, rest = encrypted.partition(".")
        key_id, _, text = rest.rpartition(".")
        if version not in (VERSION, FIRST_VERSION) or bool(key_id) != (version == VERSION):
            raise DecryptionError(context)
        try:
            raw = base64.urlsafe_b64decode(text.encode())
        except ValueError:
            raise DecryptionError(context) from None
        for key in self.keys if len(raw) > NONCE_LENGTH else ():
            if key_id in ("", key.id):
                try:
                    nonce, ciphertext = raw[:NONCE_LENGTH], raw[NONCE_LENGTH:]
                    return key.cipher.decrypt(nonce, ciphertext, context.encode())
                except InvalidTag:
                    continue
        raise DecryptionError(context)

    def digest(self, content: bytes) -> str:
        """Return a keyed hash, from which content cannot be guessed without the key."""
        return hmac.new(self._digest_key, content, hashlib.sha256).hexdigest()

    @property
    def key(self) -> SecretKey:
        """The key that encrypts."""
        return self.keys[0]

    @cached_property
    def keys(self) -> tuple[SecretKey, ...]:
        """The keys that decrypt, first the one that encrypts; they are read on first use."""
        return load_keys(self._settings)

    @property
    def has_key(self) -> bool:
        """Whether there is a key already; its first use creates the file otherwise."""
        settings = self._settings
        return bool(settings.secret_key) or (settings.data_dir / KEY_FILE).exists()

    @property
    def prefix(self) -> str:
        """The beginning of everything that is encrypted with the current key."""
        return f"{VERSION}.{self.key.id}."

    @cached_property
    def _digest_key(self) -> bytes:
        return self.key.derive(DIGEST_PURPOSE)

    def derive_signing_key(self, purpose: bytes) -> ec.EllipticCurvePrivateKey:
        """Return a key on the curve P-256 that is always the same for a purpose.

        48 bytes make its bias negligible (FIPS 186-5, A.2.1).
        """
        number = int.from_bytes(self.key.derive(purpose, length=48))
        return ec.derive_private_key(number % (P256_ORDER - 1) + 1, ec.SECP256R1())


def get_key_id(fingerprint: str) -> str:
    """Return the id of a key with a fingerprint."""
    return fingerprint[:8]


def load_keys(settings: Settings) -> tuple[SecretKey, ...]:
    """Return the keys of an installation, first the one that encrypts. Raises Unavailable."""
    folder = settings.data_dir
    given = [settings.secret_key or _read_or_create_key(folder / KEY_FILE)]
    previous = folder / PREVIOUS_KEY_FILE
    if settings.secret_key_previous:
        given.append(settings.secret_key_previous)
    if not settings.secret_key and previous.exists():
        given.append(_read_or_create_key(previous))
    return tuple(map(SecretKey, dict.fromkeys(given)))


def is_key_file_replaced(settings: Settings) -> bool:
    """Return whether `replace_key_file` was called, and `forget_previous_key_file` was not."""
    current, *previous = load_keys(settings)
    return bool(previous) and not settings.secret_key and current != previous[0]


def replace_key_file(settings: Settings, secret: str) -> None:
    """Replace the key file; the replaced key is accepted until `forget_previous_key_file`.

    Either file is complete at any moment, so that no key is lost when the process is killed.
    """
    file, previous = settings.data_dir / KEY_FILE, settings.data_dir / PREVIOUS_KEY_FILE
    replaced = _read_or_create_key(file)
    for target, content in ((previous, replaced), (file, secret)):
        new = file.with_name(f"{file.name}.new")
        new.unlink(missing_ok=True)
        _write_new_file(new, content)
        new.replace(target)
        sync_folder(file.parent)


def forget_previous_key_file(settings: Settings) -> Path | None:
    """Rename the file of the replaced key, which backups from before still need; return it."""
    previous = settings.data_dir / PREVIOUS_KEY_FILE
    if settings.secret_key or not previous.exists():
        return None
    kept = previous.with_name(f"{KEY_FILE}.{SecretKey(_read_or_create_key(previous)).id}")
    previous.replace(kept)
    sync_folder(kept.parent)
    return kept


def _read_or_create_key(file: Path) -> str:
    """Return the content of the key file; create it, readable only by the owner, if missing.

    Raises Unavailable, also if the file is empty or not a text. A key of any length is accepted, as
    earlier versions did; the fingerprint in the database shows that a file was cut.
    """
    try:
        if not file.exists():
            _write_new_file(file, secrets.token_urlsafe(32))
        key = file.read_text().strip()
    except UnicodeDecodeError:
        key = ""
    except OSError as error:
        reason = N_("There is no key to encrypt secrets with: set SECRET_KEY (%(problem)s).")
        raise Unavailable(reason, problem=error.strerror) from error
    if not key:
        reason = N_(
            "The file %(file)s is empty or not a text, so it has no key: bring a copy of the file"
            " back. If there is none, delete it, and run `%(command)s rotate-key --lost`."
        )
        raise Unavailable(reason, file=file.name, command=COMMAND)
    return key


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
        with suppress(FileExistsError):
            os.link(new, file)
    finally:
        new.unlink()
    sync_folder(file.parent)  # also if the other process has not done that yet
