"""Rules of incoming webhooks: their fields, and what is taken from a request."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from core.errors import Invalid
from core.text import N_, replace_unstorable, to_one_line
from core.validation import (
    FieldCheck,
    boolean_value,
    nonblank_text,
    optional,
    trimmed_text,
    uuid_value,
)
from models import WebhookAction
from services.payload_templates import PayloadTemplate

MAX_WEBHOOKS = 50  # of a board
MAX_DESCRIPTION_LENGTH = 5_000  # characters
MIN_SECRET_LENGTH, MAX_SECRET_LENGTH = 16, 200  # older secrets may be shorter
MAX_HEADER_NAME_LENGTH = 100
MAX_HEADER_LENGTH = 500  # characters of a stored header
MAX_DELIVERY_ID_LENGTH = 200  # characters; of a longer one, a hash is stored
MAX_NAME_LENGTH = 80  # characters of a description in an event
SECRET_OVERLAP = timedelta(hours=24)  # for which a replaced secret is still accepted

HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token of RFC 7230
NOT_FOR_SIGNATURES = frozenset(
    {
        *("authorization", "cookie", "host", "content-type", "content-length", "user-agent"),
        *("transfer-encoding", "webhook-id", "webhook-timestamp"),
    }
)

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
"""The headers that are kept with a payload. All others may be secrets (W-17)."""


@dataclass(frozen=True, kw_only=True)
class WebhookDraft:
    """The fields of a new webhook. Without a secret one is generated."""

    description: str
    enabled: bool = True
    agent_id: UUID | None = None
    secret: str | None = None
    signature_header: str | None = None
    action: WebhookAction = WebhookAction.NOTIFY
    template: Mapping[str, object] | None = None


@dataclass(frozen=True)
class WebhookRequest:
    """A request to a webhook. Names of headers are in lower case."""

    headers: Mapping[str, str]
    body: bytes
    source_ip: str

    @property
    def content_type(self) -> str | None:
        """The content type, as it is stored."""
        return self.stored_headers.get("content-type")

    @property
    def stored_headers(self) -> dict[str, str]:
        """The headers to keep."""
        return dict(_iterate_stored(self.headers))

    @property
    def delivery_id(self) -> str | None:
        """The id that the sender repeats with the request; None if it sends none."""
        sent = next(
            (self.headers[name] for name in DELIVERY_ID_HEADERS if name in self.headers), ""
        )
        id = replace_unstorable(sent.strip())
        if len(id) > MAX_DELIVERY_ID_LENGTH:
            return f"sha256:{hashlib.sha256(id.encode()).hexdigest()}"
        return id or None


def _iterate_stored(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in STORED_HEADERS:
        if name in headers:
            yield name, replace_unstorable(headers[name])[:MAX_HEADER_LENGTH]


def _header_name(value: object, field: str) -> str | None:
    """Check the name of the header with the signature; blank means the usual ones."""
    name: str = trimmed_text(MAX_HEADER_NAME_LENGTH)(value, field)
    if name and not (HEADER_NAME.fullmatch(name) and name.lower() not in NOT_FOR_SIGNATURES):
        reason = N_("This cannot be the name of a header with a signature, such as X-Signature.")
        raise Invalid("header_name_invalid", reason, field=field)
    return name or None


def _check_secret(value: object, field: str) -> str:
    """Check a secret; a blank one stands for a generated one."""
    secret: str = trimmed_text(MAX_SECRET_LENGTH)(value, field)
    if secret and len(secret) < MIN_SECRET_LENGTH:
        reason = N_(
            "A secret has at least %(min_length)s characters. Leave the field empty to create one."
        )
        raise Invalid("webhook_secret_too_short", reason, field=field, min_length=MIN_SECRET_LENGTH)
    return secret


def _check_template(value: object, field: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Invalid("object_required", "A template is an object of texts.", field=field)
    return PayloadTemplate.parse(value).to_json()


def _check_action(value: object, field: str) -> WebhookAction:
    try:
        return WebhookAction(str(value))
    except ValueError:
        reason = f"The action is one of: {', '.join(WebhookAction)}."
        raise Invalid("webhook_action_invalid", reason, field=field) from None


FIELD_CHECKS: Mapping[str, FieldCheck] = {
    "description": nonblank_text(MAX_DESCRIPTION_LENGTH),
    "enabled": boolean_value,
    "agent_id": optional(uuid_value),
    "secret": optional(_check_secret),
    "signature_header": optional(_header_name),
    "action": _check_action,
    "template": optional(_check_template),
}


def name_webhook(description: str) -> str:
    """Return the beginning of a description, as the name of the webhook in events."""
    line = to_one_line(description)
    return line if len(line) <= MAX_NAME_LENGTH else f"{line[: MAX_NAME_LENGTH - 1]}…"
