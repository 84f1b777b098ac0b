"""What a provider says of a person, read from its claims (contract, 1.9). Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kit.errors import Unauthorized
from kit.text import storable
from kit.values import is_email

LONGEST_SUBJECT = 255  # characters (OpenID Connect Core, 2)
LONGEST_NAME = 200
LAST_MOMENT = 253_402_300_799  # seconds: the end of the year 9999

Claims = Mapping[str, Any]


@dataclass(frozen=True)
class Profile:
    """A person as a provider describes them, until a moment.

    `is_verified`: the provider has made sure that the address is theirs.
    """

    issuer: str
    subject: str
    email: str | None
    is_verified: bool
    name: str | None
    until: datetime


def profile_of(claims: Claims) -> Profile:
    """Read the claims of a token whose signature has been checked.

    Raises Unauthorized if they are about nobody.
    """
    subject = claims["sub"]
    if not (isinstance(subject, str) and subject.strip() and len(subject) <= LONGEST_SUBJECT):
        raise Unauthorized
    if not storable(subject):
        raise Unauthorized
    email, is_verified = _email(claims)
    return Profile(
        issuer=claims["iss"],
        subject=subject,
        email=email,
        is_verified=is_verified,
        name=next(_names(claims), None),
        until=datetime.fromtimestamp(min(claims["exp"], LAST_MOMENT), UTC),
    )


def _email(claims: Claims) -> tuple[str | None, bool]:
    """Return the first address there is, and whether it is verified.

    `email_verified` is about `email` alone (OpenID Connect Core, 5.1); some send it as a text.
    """
    for name in ("email", "email_address", "primary_email_address"):
        email = _address(claims.get(name))
        if email:
            is_verified = str(claims.get("email_verified")).lower() == "true"
            return email, is_verified and name == "email"
    return _listed_email(claims)


def _listed_email(claims: Claims) -> tuple[str | None, bool]:
    """Return the primary one of the addresses that are listed, or else the first."""
    listed = claims.get("email_addresses")
    if not isinstance(listed, list) or not listed:
        return None, False
    primary = claims.get("primary_email_address_id")
    entries = [one if isinstance(one, dict) else {"email_address": one} for one in listed]
    chosen = next((one for one in entries if primary and one.get("id") == primary), entries[0])
    verification = chosen.get("verification")
    status = verification.get("status") if isinstance(verification, dict) else None
    email = _address(chosen.get("email_address") or chosen.get("email"))
    return email, bool(email) and status == "verified"


def _names(claims: Claims) -> Iterator[str]:
    for whole in (claims.get("name"), claims.get("full_name"), _joined(claims)):
        if isinstance(whole, str) and whole.strip() and storable(whole):
            yield whole.strip()[:LONGEST_NAME]


def _joined(claims: Claims) -> str:
    first = claims.get("given_name") or claims.get("first_name")
    last = claims.get("family_name") or claims.get("last_name")
    return " ".join(part.strip() for part in (first, last) if isinstance(part, str))


def _address(value: object) -> str | None:
    email = value.strip().lower() if isinstance(value, str) else ""
    return email if is_email(email) and storable(email) else None
