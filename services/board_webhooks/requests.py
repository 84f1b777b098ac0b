"""Requests to webhooks: what is kept of them, and whether they are signed with the secret.

Two formats are accepted: the hexadecimal HMAC-SHA256 of the body, which
GitHub uses too, and Standard Webhooks. GitLab sends the secret itself.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

import pydantic_core

from core.errors import Forbidden
from core.security.webhook_signatures import SECRET_PREFIX
from core.text import is_storable_json, replace_unstorable

DELIVERY_ID_HEADERS = (
    *("webhook-id", "x-github-delivery", "x-forgejo-delivery", "x-gitea-delivery"),
    *("x-gogs-delivery", "idempotency-key", "x-gitlab-event-uuid", "x-request-uuid"),
    "x-delivery-id",
)
"""Headers with an id that is the same when a sender repeats a request, in order of preference."""

STORED_HEADERS = (
    *("content-type", "user-agent", "webhook-timestamp", *DELIVERY_ID_HEADERS),
    *("x-github-event", "x-github-hook-id", "x-github-hook-installation-target-type"),
    *("x-gitlab-event", "x-gitlab-instance", "x-gitlab-webhook-uuid", "x-event-key", "x-hook-uuid"),
    *("x-forgejo-event", "x-forgejo-event-type", "x-gitea-event", "x-gitea-event-type"),
    *("x-gogs-event", "x-webhook-event", "x-event-type", "x-event-id"),
)
"""The headers that are kept with a payload. All others may be secrets."""


@dataclass(frozen=True)
class WebhookRequest:
    """A request to a webhook. Names of headers are in lower case.

    `is_signed` is set when the signature has been verified.
    """

    headers: Mapping[str, str]
    body: bytes
    source_ip: str
    is_signed: bool = False

    @property
    def content_type(self) -> str | None:
        """The content type, as it is stored."""
        return self.stored_headers.get("content-type")

    @property
    def stored_headers(self) -> dict[str, str]:
        """The headers to keep."""
        return {
            name: replace_unstorable(self.headers[name])[:500]
            for name in STORED_HEADERS
            if name in self.headers
        }

    @property
    def delivery_id(self) -> str | None:
        """The id that the sender repeats with the request, or the hash of a long one.

        None if it sends none.
        """
        sent = next(
            (self.headers[name] for name in DELIVERY_ID_HEADERS if name in self.headers), ""
        )
        id = replace_unstorable(sent.strip())
        if len(id) > 200:
            return f"sha256:{hashlib.sha256(id.encode()).hexdigest()}"
        return id or None


def decode_body(body: bytes, content_type: str | None) -> Any:
    """Return the payload of a body: a JSON value, or the text if it is not JSON (11.1).

    Values that the database cannot store are kept as text too, as they were sent.
    """
    if not body:
        return {}
    text = body.decode(errors="replace").removeprefix("\ufeff")
    if (
        "json" in (content_type or "").lower()
        or text.lstrip().startswith(("{", "[", '"'))
        or text.strip().lower() in ("true", "false")
    ):
        try:
            value = pydantic_core.from_json(text, allow_inf_nan=False)
        except ValueError:
            return replace_unstorable(text)
        # The stored JSON can be longer than the body: a short number such as 1e9 is written out.
        if is_storable_json(value, max_length=4 * max(len(body), 1_000)):
            return value
    return replace_unstorable(text)


TIMESTAMP_TOLERANCE = timedelta(minutes=5)  # in both directions; an older request is a replay
MAX_SIGNATURES = 20  # in one header, of which one must be right
STANDARD_SIGNATURE = "webhook-signature"
DEFAULT_HEADERS = ("x-hub-signature-256", "x-webhook-signature")
TOKEN_HEADER = "x-gitlab-token"  # noqa: S105
HEX_DIGEST = re.compile(r"(?:sha256=)?([0-9a-f]{64})", re.IGNORECASE)
TIMESTAMP = re.compile(r"[0-9]{1,11}")


class SignatureKind(Enum):
    """How a request proves that its sender knows the secret."""

    STANDARD = auto()  # Standard Webhooks
    DIGEST = auto()  # the hexadecimal HMAC-SHA256 of the body
    TOKEN = auto()  # the secret itself


def has_signature(headers: Mapping[str, str], signature_header: str | None) -> bool:
    """Return whether a request has a header with a signature, also with one that is not valid.

    That includes the usual headers where another one is configured, so that a sender with a wrong
    header is not taken for one that does not sign.
    """
    names = {STANDARD_SIGNATURE, TOKEN_HEADER, *DEFAULT_HEADERS}
    if signature_header:
        names.add(signature_header.lower())
    return not names.isdisjoint(headers)


def check_signature_headers(
    headers: Mapping[str, str],
    secrets: Sequence[str],
    *,
    signature_header: str | None,
    at: datetime,
) -> None:
    """Raise Forbidden for a request that is not valid with any body, so that none is read."""
    kind, sent = _find_signature(headers, signature_header)
    if kind is SignatureKind.STANDARD:
        _check_standard_headers(headers, at)
        is_possible = any(True for _ in _list_signatures(sent))
    elif kind is SignatureKind.DIGEST:
        is_possible = HEX_DIGEST.fullmatch(sent.strip()) is not None
    else:
        is_possible = _matches_token(sent, secrets)
    if not is_possible:
        raise _invalid_signature()


def verify_signature(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    *,
    signature_header: str | None,
    at: datetime,
) -> None:
    """Raise Forbidden unless the request was signed with one of the secrets.

    Names of headers are in lower case. A signature in another header than the configured one is
    accepted only in the format of Standard Webhooks.
    """
    kind, sent = _find_signature(headers, signature_header)
    if kind is SignatureKind.STANDARD:
        _check_standard_headers(headers, at)
        is_valid = _matches_standard(headers, sent, body, secrets)
    elif kind is SignatureKind.DIGEST:
        is_valid = _matches_digest(sent.strip(), body, secrets)
    else:
        is_valid = _matches_token(sent, secrets)
    if not is_valid:
        raise _invalid_signature()


def _find_signature(
    headers: Mapping[str, str], signature_header: str | None
) -> tuple[SignatureKind, str]:
    """Return the signature of a request. Raises Forbidden if it has none."""
    configured = signature_header.lower() if signature_header else None
    if STANDARD_SIGNATURE in headers and configured != STANDARD_SIGNATURE:
        return SignatureKind.STANDARD, headers[STANDARD_SIGNATURE]
    for name in (configured,) if configured else DEFAULT_HEADERS:
        if name in headers:
            return SignatureKind.DIGEST, headers[name]
    if configured is None and TOKEN_HEADER in headers:
        return SignatureKind.TOKEN, headers[TOKEN_HEADER]
    raise signature_missing(signature_header)


def _check_standard_headers(headers: Mapping[str, str], at: datetime) -> None:
    """Check the id and the time of a request of Standard Webhooks. Raises Forbidden."""
    timestamp = headers.get("webhook-timestamp", "")
    if not headers.get("webhook-id") or not TIMESTAMP.fullmatch(timestamp):
        reason = "Send the headers webhook-id and webhook-timestamp (seconds since 1970)."
        raise Forbidden("webhook_signature_missing", reason)
    if abs(at.timestamp() - int(timestamp)) > TIMESTAMP_TOLERANCE.total_seconds():
        minutes = int(TIMESTAMP_TOLERANCE.total_seconds() // 60)
        reason = f"The timestamp differs by more than {minutes} minutes from the clock here."
        raise Forbidden("webhook_timestamp_invalid", reason)


def _matches_standard(
    headers: Mapping[str, str], sent: str, body: bytes, secrets: Sequence[str]
) -> bool:
    head = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode("latin-1", "replace")
    digests = []
    for key in (key for secret in secrets for key in _list_keys(secret)):
        digest = hmac.new(key, head, "sha256")
        digest.update(body)  # not joined with the head: a body may be large
        digests.append(base64.b64encode(digest.digest()))
    return _has_equal([one.encode() for one in _list_signatures(sent)], digests)


def _list_signatures(header: str) -> Iterator[str]:
    """Yield the signatures of version 1 in a header: `v1,<base64>`, separated by spaces."""
    for one in header.split(maxsplit=MAX_SIGNATURES)[:MAX_SIGNATURES]:
        version, _, signature = one.partition(",")
        if version == "v1":
            yield signature


def _list_keys(secret: str) -> Iterator[bytes]:
    """Yield the keys that a secret stands for: its base64 content, and its text."""
    yield secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return
    if len(key) >= 16:  # `whsec_` alone would be an empty key
        yield key


def _matches_digest(sent: str, body: bytes, secrets: Sequence[str]) -> bool:
    found = HEX_DIGEST.fullmatch(sent)
    if found is None:
        return False
    digests = [hmac.digest(secret.encode(), body, "sha256") for secret in secrets]
    return _has_equal([bytes.fromhex(found[1])], digests)


def _matches_token(sent: str, secrets: Sequence[str]) -> bool:
    return _has_equal([sent.encode("latin-1", "replace")], [secret.encode() for secret in secrets])


def _has_equal(sent: Sequence[bytes], valid: Sequence[bytes]) -> bool:
    """Compare all pairs, each in constant time."""
    return any([hmac.compare_digest(one, other) for one in sent for other in valid])


def signature_missing(signature_header: str | None) -> Forbidden:
    """Build the error of a request without a signature."""
    expected = signature_header or f"{STANDARD_SIGNATURE} or {DEFAULT_HEADERS[0]}"
    reason = f"There is no signature. Send it in the header {expected}."
    return Forbidden("webhook_signature_missing", reason)


def _invalid_signature() -> Forbidden:
    reason = "The signature does not match the body and the secret of this webhook."
    return Forbidden("webhook_signature_invalid", reason)
