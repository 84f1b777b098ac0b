"""The ways to say no. Services raise these; each face makes its own kind of answer of them."""


class Refusal(Exception):
    """A no that the caller may read: a code for machines, a message for people, and details.

    `field` names the field that the message belongs beside, if it is about one.
    """

    def __init__(
        self, code: str, message: str, *, field: str | None = None, **details: object
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.details = details


class Unauthorized(Refusal):
    """Nobody knows who is calling."""

    def __init__(self, message: str = "Unauthorized", code: str = "unauthenticated") -> None:
        super().__init__(code, message)


class NotFound(Refusal):
    """There is no such thing, or not for this caller."""


class Forbidden(Refusal):
    """The caller may see this, but not do that to it."""


class Conflict(Refusal):
    """The caller may do this, but not as things stand now."""


class Invalid(Refusal):
    """What was sent makes no sense here."""


class PreconditionFailed(Refusal):
    """The caller knows an older version of this than there is now (If-Match)."""

    def __init__(
        self, message: str = "This was changed meanwhile. Read it again, then change it."
    ) -> None:
        super().__init__("stale", message)


class TooLarge(Refusal):
    """What was sent is longer than anybody needs."""


class TooMany(Refusal):
    """The caller comes too often, and may come again after `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("rate_limited", f"Too many requests. Try again in {retry_after} s.")
        self.retry_after = retry_after


class OutsideFailed(Refusal):
    """Something outside of the house cannot be reached, or does not do what it was asked for."""


class Unavailable(Refusal):
    """Something that we stand on is away for a moment: the database, as a rule."""

    def __init__(self, message: str = "The database does not answer. Try again soon.") -> None:
        super().__init__("unavailable", message)
