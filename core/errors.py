"""Define the expected errors that services raise; pages and API turn them into responses."""


class AppError(Exception):
    """An expected error with a stable code, a message for users, and details for programs.

    `field` is the name of the input field that the message refers to, if any. `cause` distinguishes
    errors of the same code; pages have a text for each.
    """

    keeps_changes = False  # whether the API commits what was changed before the error

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        cause: str = "",
        **details: object,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.cause = cause
        self.details = details


class Unauthorized(AppError):
    """The caller is not authenticated."""

    def __init__(self, message: str = "Unauthorized", code: str = "unauthenticated") -> None:
        super().__init__(code, message)


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


class Invalid(AppError):
    """The input is invalid."""


class BadRequest(Invalid):
    """The input is invalid, and the contract of the API has the status 400 for it."""


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
    """The caller exceeded a rate limit and can retry after `retry_after` seconds."""

    def __init__(
        self,
        retry_after: int,
        message: str = "Too many requests.",
        *,
        code: str = "rate_limited",
        keeps_changes: bool = False,
    ) -> None:
        super().__init__(code, f"{message} Try again in {retry_after} s.")
        self.retry_after = retry_after
        self.keeps_changes = keeps_changes


class RequestTimeout(AppError):
    """The request did not arrive completely in time."""

    def __init__(self, message: str) -> None:
        super().__init__("request_timeout", message)


class UpstreamError(AppError):
    """An external system is unreachable or rejected the request."""


class Unavailable(AppError):
    """A required system, usually the database, is temporarily unavailable."""

    def __init__(
        self, message: str = "The database does not answer. Try again soon.", cause: str = ""
    ) -> None:
        super().__init__("unavailable", message, cause=cause)
