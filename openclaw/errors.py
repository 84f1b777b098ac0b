"""Classify gateway errors by their codes; by their texts only where one code has several causes."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from core.security.secrets import mask_tokens
from core.text import replace_unstorable

MAX_MESSAGE_LENGTH = 300  # characters of a gateway's message that are kept
MAX_RETRY_AFTER = 600.0  # upper limit in seconds for the retry delay that a gateway requests
ID_PATTERN = re.compile(r"[a-z0-9][\w.:-]{0,99}", re.ASCII | re.IGNORECASE)
"""Valid ids and scopes; they are part of commands that users copy into a shell."""


class ErrorKind(StrEnum):
    """The kinds of gateway errors. The values are part of the API."""

    ADDRESS_INVALID = "address_invalid"
    ADDRESS_FORBIDDEN = "address_forbidden"
    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    CERTIFICATE_NAME = "certificate_name"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CA_KEY_USAGE = "ca_key_usage"  # the CA certificate does not say that it may sign certificates
    NO_TLS = "no_tls"
    TLS_REQUIRED = "tls_required"
    PATH_NOT_FOUND = "path_not_found"
    DOWN_BEHIND_PROXY = "down_behind_proxy"
    DOWN_BEHIND_FORWARDER = "down_behind_forwarder"  # a gateway answered at this address before
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
    UNRESPONSIVE = "unresponsive"  # connected, but it does not answer pings
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    REJECTED = "rejected"  # the gateway understood and rejected the request


NOT_EXECUTED_ERRORS = frozenset(
    {ErrorKind.STARTING_UP, ErrorKind.UNAVAILABLE, ErrorKind.DOWN_BEHIND_PROXY}
)
"""Errors after which a gateway has certainly not executed the request."""

TEMPORARY_ERRORS = NOT_EXECUTED_ERRORS | {ErrorKind.RESTARTING, ErrorKind.CLOSED}
"""Temporary errors: a retry can succeed."""

KIND_BY_DETAIL_CODE: Mapping[str, ErrorKind] = {
    "PROTOCOL_MISMATCH": ErrorKind.PROTOCOL_MISMATCH,
    "PAIRING_REQUIRED": ErrorKind.PAIRING_REQUIRED,
    "MISSING_SCOPE": ErrorKind.MISSING_SCOPE,
    "AUTH_TOKEN_MISSING": ErrorKind.TOKEN_MISSING,
    "AUTH_PASSWORD_MISSING": ErrorKind.TOKEN_MISSING,
    "AUTH_REQUIRED": ErrorKind.TOKEN_MISSING,
    "AUTH_TOKEN_MISMATCH": ErrorKind.TOKEN_MISMATCH,
    "AUTH_PASSWORD_MISMATCH": ErrorKind.TOKEN_MISMATCH,
    "AUTH_DEVICE_TOKEN_MISMATCH": ErrorKind.TOKEN_MISMATCH,
    "AUTH_TOKEN_NOT_CONFIGURED": ErrorKind.TOKEN_MISMATCH,
    "AUTH_UNAUTHORIZED": ErrorKind.TOKEN_MISMATCH,
    "AUTH_RATE_LIMITED": ErrorKind.RATE_LIMITED,
    "AUTH_SCOPE_MISMATCH": ErrorKind.MISSING_SCOPE,
    "CONTROL_UI_ORIGIN_NOT_ALLOWED": ErrorKind.ORIGIN_REFUSED,
    "CONTROL_UI_DEVICE_IDENTITY_REQUIRED": ErrorKind.DEVICE_REQUIRED,
    "DEVICE_IDENTITY_REQUIRED": ErrorKind.DEVICE_REQUIRED,
    "proxy_attribution_required": ErrorKind.PROXY_UNTRUSTED,
}
"""Error kinds by `details.code` of an error response."""

KIND_BY_CODE: Mapping[str, ErrorKind] = {
    "NOT_PAIRED": ErrorKind.PAIRING_REQUIRED,
    "UNAVAILABLE": ErrorKind.UNAVAILABLE,
    "FORBIDDEN": ErrorKind.MISSING_SCOPE,
}
"""Error kinds by `code` of an error response without details."""

KIND_BY_CLOSE_CODE: Mapping[int, ErrorKind] = {
    1002: ErrorKind.PROTOCOL_MISMATCH,
    1009: ErrorKind.TOO_LARGE,
    1012: ErrorKind.RESTARTING,
    1013: ErrorKind.STARTING_UP,
    4001: ErrorKind.RESTARTING,  # its policy has changed; it accepts a reconnect at once
}
"""Error kinds by WebSocket close code."""


CONFLICT = re.compile(
    r"changed since |not found|unknown agent id|already exists|already in use|no longer exists"
    r"|unknown cron job"
)
"""The words of a rejection that says that something is not there, or is another than it was."""


BEFORE_WEBSOCKET = "before_websocket"  # `details.phase` of errors before the WebSocket is open


class GatewayError(Exception):
    """A gateway is unreachable or returned an error.

    `code` and `details` are from the error response of the gateway; `retry_after` is the delay in
    seconds that it requests before a retry.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        code: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = replace_unstorable(mask_tokens(message)[:MAX_MESSAGE_LENGTH])
        super().__init__(self.message)
        self.kind = kind
        self.code = code
        self.details = dict(details or {})
        self.retry_after = retry_after

    @property
    def is_conflict(self) -> bool:
        """Whether the gateway has changed meanwhile: a retry that reads again can succeed."""
        return self.kind is ErrorKind.REJECTED and bool(CONFLICT.search(self.message))

    @property
    def pairing_request(self) -> str | None:
        """The id with which the owner of the gateway approves our device."""
        return _id(self.details.get("requestId"))

    @property
    def missing_scopes(self) -> list[str]:
        """The required scopes that were not granted."""
        required = self.details.get("requiredScopes")
        found = required if isinstance(required, list) else [self.details.get("missingScope")]
        return [scope for scope in map(_id, found) if scope is not None]

    @property
    def certificate_problem(self) -> str | None:
        """Why the certificate of a gateway is not trusted, in the words of the TLS library."""
        return _text(self.details.get("certificateProblem"))

    @property
    def allowing_setting(self) -> str | None:
        """The setting of this server that allows the address of a gateway."""
        is_ours = self.kind is ErrorKind.ADDRESS_FORBIDDEN  # other details are the gateway's
        return _text(self.details.get("setting")) if is_ours else None

    @property
    def is_before_websocket(self) -> bool:
        """Whether the port has accepted the connection and ended it without an answer."""
        return self.details.get("phase") == BEFORE_WEBSOCKET and not self.code

    @property
    def gateway_protocol(self) -> int | None:
        """The protocol version of the gateway, if it differs from ours."""
        spoken = self.details.get("expectedProtocol")
        return spoken if isinstance(spoken, int) else None


def parse_error(error: object) -> GatewayError:
    """Convert the error of a response frame."""
    fields = error if isinstance(error, dict) else {}
    details = fields.get("details")
    details = details if isinstance(details, dict) else {}
    code, detail = _text(fields.get("code")) or "", _text(details.get("code")) or ""
    kind = KIND_BY_DETAIL_CODE.get(detail) or KIND_BY_CODE.get(code, ErrorKind.REJECTED)
    if detail.startswith("DEVICE_AUTH_"):
        kind = ErrorKind.DEVICE_REFUSED
    elif code == "UNAVAILABLE" and details.get("reason") == "startup-sidecars":
        kind = ErrorKind.STARTING_UP
    delay, retry_after = fields.get("retryAfterMs"), None
    if isinstance(delay, int | float) and delay >= 0:
        retry_after = min(delay, MAX_RETRY_AFTER * 1000) / 1000
    message = _text(fields.get("message")) or "The gateway gave no reason."
    return GatewayError(kind, message, code=code, details=details, retry_after=retry_after)


def connection_closed_error(code: int | None) -> GatewayError:
    """Convert a WebSocket close code."""
    trouble = KIND_BY_CLOSE_CODE.get(code or 0, ErrorKind.CLOSED)
    return GatewayError(trouble, f"The gateway closed the connection ({code or 'no code'}).")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and ID_PATTERN.fullmatch(value) else None
