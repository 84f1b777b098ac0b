"""Generate, hash, mask and compare secrets."""

import base64
import hashlib
import hmac
import re
import secrets
from typing import Any

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from core.text import replace_unstorable

PREFIX_LENGTH = 20  # characters of a token stored in clear text to find its row
OWN_TOKEN_PATTERN = re.compile(r"(mc_[a-z]+_)[A-Za-z0-9_-]{4,}")
FILE_TOKEN_PATTERN = re.compile(
    r"(?P<kind>mc_agent_(?=[\w-])|mc_[a-z]+_(?=[\w-]{20}))[\w-]+"
    r"|(?<=^AUTH_TOKEN=)(?!mc_[a-z]+_… \([0-9a-f]{6}\)$).+",
    re.MULTILINE,
)
"""A token in a file of an agent: one of ours, or the value of its variable unless it is a label."""
MAX_DEPTH = 100  # nesting levels of a value that are searched; deeper values become null

_passwords = PasswordHash((Argon2Hasher(),))


def generate_token(kind: str) -> str:
    """Generate a token of 256 random bits with its kind as prefix: `mc_agent_…`."""
    return f"mc_{kind}_{secrets.token_urlsafe(32)}"


def token_prefix(token: str) -> str:
    """Return the stored prefix of a token; 180 random bits remain secret."""
    return token[:PREFIX_LENGTH]


def mask_tokens(text: str) -> str:
    """Replace the secret part of our own tokens in a text."""
    return OWN_TOKEN_PATTERN.sub(r"\1***", text)


def mask_tokens_within(value: Any, *, max_depth: int = MAX_DEPTH) -> Any:
    """Mask our own tokens in a JSON value, and replace characters that cannot be stored or sent.

    Values deeper than `max_depth` become null.
    """
    if isinstance(value, str):
        return mask_tokens(replace_unstorable(value))
    if not isinstance(value, dict | list):
        return value
    if not max_depth:
        return None
    if isinstance(value, list):
        return [mask_tokens_within(item, max_depth=max_depth - 1) for item in value]
    items = value.items()
    return {
        mask_tokens(replace_unstorable(name)): mask_tokens_within(item, max_depth=max_depth - 1)
        for name, item in items
    }


def hide_tokens(text: str) -> str:
    """Replace each token in a file by a label; different tokens have different labels."""
    return FILE_TOKEN_PATTERN.sub(_label_of, text)


def restore_tokens(text: str, original: str) -> str:
    """Replace the labels of the tokens of an original text by these tokens."""
    for token in FILE_TOKEN_PATTERN.finditer(original):
        text = text.replace(_label_of(token), token[0])
    return text


def _label_of(token: re.Match[str]) -> str:
    return f"{token['kind'] or 'mc_agent_'}… ({hash_token(token[0].strip())[:6]})"


def hash_token(secret: str) -> str:
    """Return the SHA-256 of a token in hex; tokens are random, so no salt is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secrets_equal(one: str, other: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def hash_password(password: str) -> str:
    """Hash a password with argon2id. It takes about 0.1 s: call it in a thread."""
    return _passwords.hash(password)


def verify_password(password: str, stored_hash: str) -> bool:
    """Verify a password against its hash. It takes about 0.1 s: call it in a thread."""
    return _passwords.verify(password, stored_hash)


def verify_pbkdf2(token: str, stored_hash: str) -> bool:
    """Verify a token against `pbkdf2_sha256$<rounds>$<salt>$<digest>` of the original."""
    try:
        algorithm, rounds, salt, digest = stored_hash.split("$")
        count, salted, wanted = int(rounds), _decode_unpadded(salt), _decode_unpadded(digest)
    except ValueError:
        return False
    # more iterations could keep the processor busy
    if algorithm != "pbkdf2_sha256" or not 0 < count <= 1_000_000:
        return False
    return hmac.compare_digest(hashlib.pbkdf2_hmac("sha256", token.encode(), salted, count), wanted)


def _decode_unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
