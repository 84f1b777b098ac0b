"""What is taken from a request to a webhook, and the name of a webhook in events."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.text import replace_unstorable, to_one_line

MAX_WEBHOOKS = 50  # of a board
MAX_HEADER_LENGTH = 500  # characters of a stored header
MAX_DELIVERY_ID_LENGTH = 200  # characters; of a longer one, a hash is stored
MAX_NAME_LENGTH = 80  # characters of a description in an event

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


def name_webhook(description: str) -> str:
    """Return the beginning of a description, as the name of the webhook in events."""
    line = to_one_line(description)
    return line if len(line) <= MAX_NAME_LENGTH else f"{line[: MAX_NAME_LENGTH - 1]}…"
