"""Rules for new passwords: their length, and what is guessed first. Pure functions.

There is no list of common passwords here: docs/trust.md, check 5.
"""

from core.errors import Invalid
from core.text import N_, is_storable

MIN_PASSWORD_LENGTH = 10  # characters
MAX_PASSWORD_LENGTH = 200
MIN_NAME_LENGTH = 4  # shorter names are part of many words
MIN_DIFFERENT_CHARACTERS = 4
PRODUCT_NAMES = ("missioncontrol", "openclaw")
SEQUENCES = (
    "abcdefghijklmnopqrstuvwxyz" * 2,
    "1234567890" * 20,
    "qwertyuiopasdfghjklzxcvbnm" * 2,
    "qwertzuiopasdfghjklyxcvbnm" * 2,
    "azertyuiopqsdfghjklmwxcvbn" * 2,
)
"""Characters in the order of the alphabet and of keyboards."""

WEAKNESSES = {
    "email": "The password contains the name in your e-mail address.",
    "product": "The password contains the name of this product.",
    "repeated": "The password repeats the same characters.",
    "sequence": "The password is a sequence of characters.",
}
"""Why a password is guessed easily."""


def check_new_password(password: str, field: str, email: str | None) -> None:
    """Raise Invalid if a password is too short or long, or easily guessed for this address."""
    if len(password) < MIN_PASSWORD_LENGTH:
        reason = N_("A password has at least %(min_length)s characters.")
        raise Invalid("password_too_short", reason, field=field, min_length=MIN_PASSWORD_LENGTH)
    if len(password) > MAX_PASSWORD_LENGTH:
        reason = N_("A password has at most %(max_length)s characters.")
        raise Invalid("password_too_long", reason, field=field, max_length=MAX_PASSWORD_LENGTH)
    if not is_storable(password):
        reason = "The password has a character that nobody can type. Take it out."
        raise Invalid("bad_character", reason, field=field)
    if weakness := _find_weakness(password, email or ""):
        reason = f"{WEAKNESSES[weakness]} Choose another one."
        raise Invalid("password_too_common", reason, field=field, cause=weakness)


def _find_weakness(password: str, email: str) -> str:
    """Return why a password is guessed easily, as a key of WEAKNESSES, or ""."""
    text, name = _normalize(password), _normalize(email.partition("@")[0])
    if len(name) >= MIN_NAME_LENGTH and name in text:
        return "email"
    if any(product in text for product in PRODUCT_NAMES):
        return "product"
    if _is_repeated(password.casefold()) or len(set(password)) < MIN_DIFFERENT_CHARACTERS:
        return "repeated"
    if text and any(text in one or text[::-1] in one for one in SEQUENCES):
        return "sequence"
    return ""


def _normalize(text: str) -> str:
    """Return the letters and digits, in lower case."""
    return "".join(one for one in text.casefold() if one.isalnum())


def _is_repeated(text: str) -> bool:
    """Return whether the text consists of a shorter text, two or more times."""
    return text in (text + text)[1:-1]
