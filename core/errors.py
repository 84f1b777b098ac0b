"""Define the expected errors that services raise; pages and API turn them into responses."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from core.text import N_

PLACEHOLDER = re.compile(r"%\((\w+)\)s")
TRY_AGAIN = N_("Try again in %(seconds)s s.")

SentAs: TypeAlias = Literal["field", "text", "object", "object_with_code", "status"]
"""What the API sends as `detail` of an error, as in the original.

- `field`: the invalid field with the text. The text alone, if the error is not Invalid with a field
- `text`: the text, also of an invalid field. Operations of the original checked it, not its models
- `object`: an object with the text as `message`, and the details of the error
- `object_with_code`: also with the code, as agents expect it
- `status`: the phrase of the HTTP status
"""


class AppError(Exception):
    """An expected error with a stable code, a text for users, and details for programs.

    The text is English and marked with `N_`; it can name details: `%(max_count)s`. The API sends it
    as `message`, pages translate it (`describe_error` in `web.ui.locale_format`). `hint` says what
    a program can do; only the API sends it, after the text. `field` is the name of the input field
    that it refers to, if any. Details are only for the text, unless `sent_as` says that they are
    sent.
    """

    keeps_changes = False  # whether the API commits what was changed before the error

    def __init__(
        self,
        code: str,
        text: str,
        /,
        *,
        field: str | None = None,
        hint: str = "",
        sent_as: SentAs = "field",
        **details: object,
    ) -> None:
        self.code = code
        self.text = text
        self.field = field
        self.sent_as = sent_as
        self.details = details
        self.message = f"{fill_in(text, details)} {hint}".rstrip()
        super().__init__(self.message)


class Unauthorized(AppError):
    """The caller is not authenticated."""

    def __init__(
        self,
        message: str = "Unauthorized",
        code: str = "unauthenticated",
        sent_as: SentAs = "status",
    ) -> None:
        super().__init__(code, message, sent_as=sent_as)


class NotFound(AppError):
    """The object does not exist or is not visible to the caller."""


class Forbidden(AppError):
    """The caller can see the object but lacks the right for this operation."""


class RecentSignInRequired(Forbidden):
    """The caller has the right, but must prove who they are again, in a browser."""

    def __init__(self) -> None:
        reason = (
            "This needs a recent sign-in, and a token is not enough. Do it on the page, where you"
            " are asked to sign in again."
        )
        super().__init__("recent_sign_in_required", reason)


class Conflict(AppError):
    """The operation is allowed but conflicts with the current state."""


class Invalid(AppError, ValueError):
    """The input is invalid.

    It is a ValueError, so that pydantic collects those of validators with the errors of other
    fields: `find_invalid` in `core.fields` returns them.
    """


class BadRequest(Invalid):
    """The input is invalid, and the original has the status 400 for it."""


class Gone(AppError):
    """The object exists, but is no longer in use."""


class PreconditionFailed(AppError):
    """The condition in If-Match is not met: the version is outdated, or there are no versions."""

    def __init__(
        self,
        message: str = "This was changed meanwhile. Read it again, then change it.",
        code: str = "stale",
    ) -> None:
        super().__init__(code, message)


class TooLarge(AppError):
    """The request body exceeds the size limit."""


class TooMany(AppError):
    """The caller exceeded a rate limit and can retry after `retry_after` seconds.

    A sentence that says when to try again follows the text.
    """

    def __init__(
        self,
        retry_after: int,
        text: str = N_("Too many requests."),
        *,
        code: str = "rate_limited",
        hint: str = "",
        keeps_changes: bool = False,
        **details: Any,
    ) -> None:
        hint = f"{hint} {fill_in(TRY_AGAIN, {'seconds': retry_after})}".lstrip()
        super().__init__(code, text, hint=hint, **details)
        self.retry_after = retry_after
        self.keeps_changes = keeps_changes


class RequestTimeout(AppError):
    """The request did not arrive completely in time."""

    def __init__(self, seconds: float) -> None:
        text = N_("The request was not complete after %(seconds)s s.")
        super().__init__("request_timeout", text, seconds=f"{seconds:g}")


class UpstreamError(AppError):
    """An external system is unreachable or rejected the request."""


class Unavailable(AppError):
    """A required system, usually the database, is temporarily unavailable."""

    def __init__(
        self, text: str = N_("The database does not answer. Try again soon."), **details: Any
    ) -> None:
        super().__init__("unavailable", text, **details)


def fill_in(
    text: str, values: Mapping[str, object], format_value: Callable[[object], str] = str
) -> str:
    """Replace the placeholders of a text by values; those of a list are joined with commas."""

    def replace(found: re.Match[str]) -> str:
        value = values.get(found[1], found[0])
        if isinstance(value, list | tuple):
            return ", ".join(map(format_value, value))
        return format_value(value)

    return PLACEHOLDER.sub(replace, text)


def build_request(method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Build the description of a request that solves a conflict, for its details."""
    return {"method": method, "path": path, "body": dict(body)}
