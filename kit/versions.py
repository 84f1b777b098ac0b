"""Nobody overwrites what they have not seen: who changes a thing may say which one they know."""

from collections.abc import Collection
from typing import TypeAlias

from kit.errors import PreconditionFailed

Known: TypeAlias = Collection[int] | None
"""The versions that the caller knows; None if they don't say, and the last word wins."""


def check_version(known: Known, present: int) -> None:
    """Raise PreconditionFailed if the caller knows other versions than the present one.

    Call it after all other checks: what would be refused anyway is refused for its own reason
    (RFC 9110, 13.2.1).
    """
    if known is not None and present not in known:
        raise PreconditionFailed
