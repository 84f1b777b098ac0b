"""Making, fingerprinting and comparing secrets."""

import base64
import hashlib
import hmac
import re
import secrets
from typing import Any

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

PREFIX_LENGTH = 20  # characters of a token that are kept in clear, to find its row by
MOST_ITERATIONS = 1_000_000  # of an imported PBKDF2 hash; more would be an attack on our processor
OURS = re.compile(r"(mc_[a-z]+_)[A-Za-z0-9_-]{4,}")
DEEPEST = 100  # levels of a value in which tokens are looked for; nobody reads what lies deeper

_passwords = PasswordHash((Argon2Hasher(),))


def new_token(kind: str) -> str:
    """Make a token of 256 random bits that says what it is for: `mc_agent_…`."""
    return f"mc_{kind}_{secrets.token_urlsafe(32)}"


def prefix(token: str) -> str:
    """Return the part of a token by which its row is found. It leaves 180 bits to guess."""
    return token[:PREFIX_LENGTH]


def masked(text: str) -> str:
    """Return a text in which no token of ours can be read."""
    return OURS.sub(r"\1***", text)


def masked_within(value: Any, *, deepest: int = DEEPEST) -> Any:
    """Return a value of JSON in which no token of ours can be read; what lies too deep is null."""
    if isinstance(value, str):
        return masked(value)
    if not isinstance(value, dict | list):
        return value
    if not deepest:
        return None
    if isinstance(value, list):
        return [masked_within(item, deepest=deepest - 1) for item in value]
    items = value.items()
    return {masked(name): masked_within(item, deepest=deepest - 1) for name, item in items}


def fingerprint(secret: str) -> str:
    """Return what we keep of a secret: its SHA-256, in hex. Secrets are random, so no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare two secrets in a time that does not tell how they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def hash_password(password: str) -> str:
    """Return what we keep of a password (argon2id). Takes some 0.1 s: call it in a thread."""
    return _passwords.hash(password)


def password_fits(password: str, kept: str) -> bool:
    """Say whether this is the password that was kept. Takes some 0.1 s: call it in a thread."""
    return _passwords.verify(password, kept)


def fits_pbkdf2(token: str, kept: str) -> bool:
    """Say whether a token fits `pbkdf2_sha256$<rounds>$<salt>$<digest>` (contract, 1.10)."""
    try:
        algorithm, rounds, salt, digest = kept.split("$")
        count, salted, wanted = int(rounds), _unpadded(salt), _unpadded(digest)
    except ValueError:
        return False
    if algorithm != "pbkdf2_sha256" or not 0 < count <= MOST_ITERATIONS:
        return False
    return hmac.compare_digest(hashlib.pbkdf2_hmac("sha256", token.encode(), salted, count), wanted)


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
