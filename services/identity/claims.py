"""Claims of an OpenID Connect token, read into a profile (contract, 1.9). Pure functions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core.errors import Unauthorized
from core.text import is_storable
from core.validation import MAX_NAME_LENGTH, is_email

MAX_TIMESTAMP = 253_402_300_799  # seconds: the end of the year 9999
MAX_SUBJECT_LENGTH = 255  # characters (OpenID Connect Core, 2)

Claims = Mapping[str, Any]


@dataclass(frozen=True)
class ProviderProfile:
    """A user as an identity provider describes them; valid until `until`.

    `authenticated_at`: when the user proved to the provider who they are, if it reports that.
    `is_verified`: the provider has verified that the e-mail address belongs to the user.
    """

    issuer: str
    subject: str
    email: str | None
    is_verified: bool
    name: str | None
    until: datetime
    authenticated_at: datetime | None = None


def parse_profile(claims: Claims) -> ProviderProfile:
    """Read the claims of a token whose signature has been checked.

    Raises Unauthorized if the subject is missing or unusable.
    """
    subject = claims["sub"]
    if not (isinstance(subject, str) and subject.strip() and len(subject) <= MAX_SUBJECT_LENGTH):
        raise Unauthorized
    if not is_storable(subject):
        raise Unauthorized
    email, is_verified = _email(claims)
    return ProviderProfile(
        issuer=claims["iss"],
        subject=subject,
        email=email,
        is_verified=is_verified,
        name=next(_name_candidates(claims), None),
        until=datetime.fromtimestamp(min(claims["exp"], MAX_TIMESTAMP), UTC),
        authenticated_at=_authentication_time(claims),
    )


def _authentication_time(claims: Claims) -> datetime | None:
    reported = claims.get("auth_time")
    if isinstance(reported, bool) or not isinstance(reported, int | float):
        return None
    if not 0 <= reported <= MAX_TIMESTAMP:
        return None
    return datetime.fromtimestamp(reported, UTC)


def _email(claims: Claims) -> tuple[str | None, bool]:
    """Return the first usable address, and whether it is verified.

    `email_verified` refers only to `email` (OpenID Connect Core, 5.1); some providers send it as a
    string.
    """
    for name in ("email", "email_address", "primary_email_address"):
        email = _normalize_email(claims.get(name))
        if email:
            is_verified = str(claims.get("email_verified")).lower() == "true"
            return email, is_verified and name == "email"
    return _email_from_list(claims)


def _email_from_list(claims: Claims) -> tuple[str | None, bool]:
    """Return the primary address of `email_addresses`, or else the first."""
    listed = claims.get("email_addresses")
    if not isinstance(listed, list) or not listed:
        return None, False
    primary = claims.get("primary_email_address_id")
    entries = [one if isinstance(one, dict) else {"email_address": one} for one in listed]
    chosen = next((one for one in entries if primary and one.get("id") == primary), entries[0])
    verification = chosen.get("verification")
    status = verification.get("status") if isinstance(verification, dict) else None
    email = _normalize_email(chosen.get("email_address") or chosen.get("email"))
    return email, bool(email) and status == "verified"


def _name_candidates(claims: Claims) -> Iterator[str]:
    for whole in (claims.get("name"), claims.get("full_name"), _join_names(claims)):
        if isinstance(whole, str) and whole.strip() and is_storable(whole):
            yield whole.strip()[:MAX_NAME_LENGTH]


def _join_names(claims: Claims) -> str:
    first = claims.get("given_name") or claims.get("first_name")
    last = claims.get("family_name") or claims.get("last_name")
    return " ".join(part.strip() for part in (first, last) if isinstance(part, str))


def _normalize_email(value: object) -> str | None:
    email = value.strip().lower() if isinstance(value, str) else ""
    return email if is_email(email) and is_storable(email) else None
