"""What can go wrong with a gateway: a name for each, found by codes and never by texts."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from kit.secrets import masked
from kit.text import mended

LONGEST_MESSAGE = 300  # characters of a gateway's own words that are kept
LONGEST_WAIT = 600.0  # seconds after which we ask again, whatever a gateway wants
ID = re.compile(r"[a-z0-9][\w.:-]{0,99}", re.ASCII | re.IGNORECASE)
"""What ids and scopes can be. People copy commands with them into a shell."""


class Trouble(StrEnum):
    """What stands between us and an answer. The values are part of the API."""

    ADDRESS_INVALID = "address_invalid"
    ADDRESS_FORBIDDEN = "address_forbidden"
    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    NO_TLS = "no_tls"
    NOT_A_GATEWAY = "not_a_gateway"
    PROXY_UNTRUSTED = "proxy_untrusted"
    ORIGIN_REFUSED = "origin_refused"
    PROTOCOL_MISMATCH = "protocol_mismatch"
    TOKEN_MISSING = "token_missing"  # noqa: S105
    TOKEN_MISMATCH = "token_mismatch"  # noqa: S105
    DEVICE_REQUIRED = "device_required"
    DEVICE_REFUSED = "device_refused"
    PAIRING_REQUIRED = "pairing_required"
    MISSING_SCOPE = "missing_scope"
    STARTING_UP = "starting_up"
    UNAVAILABLE = "unavailable"
    RATE_LIMITED = "rate_limited"
    RESTARTING = "restarting"
    CLOSED = "closed"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    REJECTED = "rejected"  # the gateway understood, and said no


NOT_DONE = frozenset({Trouble.STARTING_UP, Trouble.UNAVAILABLE})
"""After these a gateway has certainly not done what it was asked for."""

PASSING = NOT_DONE | {Trouble.RESTARTING, Trouble.CLOSED}
"""These pass by themselves: whoever asks again soon may get an answer."""

BY_DETAIL: Mapping[str, Trouble] = {
    "PROTOCOL_MISMATCH": Trouble.PROTOCOL_MISMATCH,
    "PAIRING_REQUIRED": Trouble.PAIRING_REQUIRED,
    "MISSING_SCOPE": Trouble.MISSING_SCOPE,
    "AUTH_TOKEN_MISSING": Trouble.TOKEN_MISSING,
    "AUTH_PASSWORD_MISSING": Trouble.TOKEN_MISSING,
    "AUTH_REQUIRED": Trouble.TOKEN_MISSING,
    "AUTH_TOKEN_MISMATCH": Trouble.TOKEN_MISMATCH,
    "AUTH_PASSWORD_MISMATCH": Trouble.TOKEN_MISMATCH,
    "AUTH_DEVICE_TOKEN_MISMATCH": Trouble.TOKEN_MISMATCH,
    "AUTH_TOKEN_NOT_CONFIGURED": Trouble.TOKEN_MISMATCH,
    "AUTH_UNAUTHORIZED": Trouble.TOKEN_MISMATCH,
    "AUTH_RATE_LIMITED": Trouble.RATE_LIMITED,
    "AUTH_SCOPE_MISMATCH": Trouble.MISSING_SCOPE,
    "CONTROL_UI_ORIGIN_NOT_ALLOWED": Trouble.ORIGIN_REFUSED,
    "CONTROL_UI_DEVICE_IDENTITY_REQUIRED": Trouble.DEVICE_REQUIRED,
    "DEVICE_IDENTITY_REQUIRED": Trouble.DEVICE_REQUIRED,
    "proxy_attribution_required": Trouble.PROXY_UNTRUSTED,
}
"""What `details.code` of a refusal means."""

BY_CODE: Mapping[str, Trouble] = {
    "NOT_PAIRED": Trouble.PAIRING_REQUIRED,
    "UNAVAILABLE": Trouble.UNAVAILABLE,
    "FORBIDDEN": Trouble.MISSING_SCOPE,
}
"""What the code of a refusal means that has no details."""

BY_CLOSE: Mapping[int, Trouble] = {
    1002: Trouble.PROTOCOL_MISMATCH,
    1009: Trouble.TOO_LARGE,
    1012: Trouble.RESTARTING,
    1013: Trouble.STARTING_UP,
    4001: Trouble.RESTARTING,  # its policy has changed: it takes us back at once
}
"""What the code means with which a connection was closed."""


class GatewayError(Exception):
    """A gateway cannot be reached, or says no.

    `details` is what the gateway said for machines, `code` is its own word for it, and
    `retry_after` the seconds after which it wants to be asked again.
    """

    def __init__(
        self,
        trouble: Trouble,
        message: str,
        *,
        code: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = mended(masked(message)[:LONGEST_MESSAGE])
        super().__init__(self.message)
        self.trouble = trouble
        self.code = code
        self.details = dict(details or {})
        self.retry_after = retry_after

    @property
    def pairing_request(self) -> str | None:
        """The id by which the gateway's owner approves our device."""
        return _id(self.details.get("requestId"))

    @property
    def missing_scopes(self) -> list[str]:
        """The rights that were needed and not held."""
        required = self.details.get("requiredScopes")
        found = required if isinstance(required, list) else [self.details.get("missingScope")]
        return [scope for scope in map(_id, found) if scope is not None]

    @property
    def spoken(self) -> int | None:
        """The protocol that the gateway speaks, where it is another than ours."""
        spoken = self.details.get("expectedProtocol")
        return spoken if isinstance(spoken, int) else None


def refusal(error: object) -> GatewayError:
    """Make an error of what a gateway answers instead of a result."""
    said = error if isinstance(error, dict) else {}
    details = said.get("details")
    details = details if isinstance(details, dict) else {}
    code = _text(said.get("code")) or ""
    return GatewayError(
        _trouble(code, _text(details.get("code")) or "", details),
        _text(said.get("message")) or "The gateway gave no reason.",
        code=code,
        details=details,
        retry_after=_seconds(said.get("retryAfterMs")),
    )


def closed(code: int | None) -> GatewayError:
    """Make an error of the code with which a connection ended."""
    trouble = BY_CLOSE.get(code or 0, Trouble.CLOSED)
    return GatewayError(trouble, f"The gateway closed the connection ({code or 'no code'}).")


def _trouble(code: str, detail: str, details: Mapping[str, Any]) -> Trouble:
    if detail.startswith("DEVICE_AUTH_"):
        return Trouble.DEVICE_REFUSED
    if code == "UNAVAILABLE" and details.get("reason") == "startup-sidecars":
        return Trouble.STARTING_UP
    return BY_DETAIL.get(detail) or BY_CODE.get(code, Trouble.REJECTED)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and ID.fullmatch(value) else None


def _seconds(milliseconds: object) -> float | None:
    if not isinstance(milliseconds, int | float) or not milliseconds >= 0:
        return None
    return min(milliseconds, LONGEST_WAIT * 1000) / 1000
