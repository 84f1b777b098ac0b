"""What is sent on a channel, and the results of attempts to send it."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from services.notifications import SendOutcome, SendReason, SendResult

MAX_REQUEST_LENGTH = 4_000  # characters of a request in the log
MAX_RESPONSE_LENGTH = 2_000  # characters of a response in the log


class ChannelState(StrEnum):
    """Whether notifications are sent on a channel, or why not. The values are part of the API."""

    UNREADABLE = "unreadable"  # encrypted with another key
    UNCONFIRMED = "unconfirmed"  # an e-mail address
    PAUSED = "paused"
    FAILING = "failing"  # the last message failed, or an attempt has failed several times
    ACTIVE = "active"


@dataclass(frozen=True)
class MailContent:
    """The parts of an e-mail."""

    text: str
    html: str


@dataclass(frozen=True)
class ChannelMessage:
    """A message in the language of its recipient. All texts are plain text.

    Repeated deliveries have the same `id`; messages about one object have the same `tag`.
    """

    id: str
    kind: str
    title: str
    body: str
    url: str  # absolute; the page about it
    language: str
    tag: str = ""
    action: str = "Open"  # what a link or a button to `url` says
    settings_url: str = ""
    is_urgent: bool = False
    mail: MailContent | None = None  # without it the e-mail has a plain text only


def delivered() -> SendResult:
    """Return the result of an attempt that has succeeded."""
    return SendResult(SendOutcome.DELIVERED)


def retry(
    reason: SendReason, detail: str = "", *, retry_after: timedelta | None = None
) -> SendResult:
    """Return the result of an attempt that can be repeated."""
    return SendResult(SendOutcome.RETRY, reason, detail, retry_after)


def failed(reason: SendReason, detail: str = "") -> SendResult:
    """Return the result of an attempt that need not be repeated."""
    return SendResult(SendOutcome.FAILED, reason, detail)


def gone(reason: SendReason, detail: str = "") -> SendResult:
    """Return the result of an attempt whose receiver does not exist any more."""
    return SendResult(SendOutcome.GONE, reason, detail)


def shorten(text: str, max_length: int) -> str:
    """Return a text of at most so many characters, which ends with an ellipsis if it was cut."""
    return text if len(text) <= max_length else text[: max_length - 1].rstrip() + "…"


def mask_secrets(text: str, config: dict[str, str]) -> str:
    """Replace what is secret in a configuration wherever it appears in a text.

    The last part of a URL is often the secret, such as a topic of ntfy. Values of less than six
    characters stay.
    """
    values = {*config.values(), *(value.rpartition("/")[2] for value in config.values())}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= 6:
            text = text.replace(value, "***")
    return text
