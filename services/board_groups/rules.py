"""What the fields of a group of boards may hold. Pure, but for a slug where a name makes none."""

from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex

from kit.text import slugged
from kit.values import Check, optional, text, trimmed, words

LONGEST_NAME = 200  # characters, of a slug too
LONGEST_TEXT = 20_000  # characters of a description

CHECKS: Mapping[str, Check] = {
    "name": words(LONGEST_NAME),
    "slug": trimmed(LONGEST_NAME),
    "description": optional(text(LONGEST_TEXT)),
}
"""The fields of a group that somebody may write, and what each takes."""


@dataclass(frozen=True, kw_only=True)
class GroupDraft:
    """A group to be. A blank slug is made of the name."""

    name: str
    slug: str = ""
    description: str | None = None


def slug_of(name: str) -> str:
    """Return a slug for a group of this name; a random one where no letter can be used."""
    return slugged(name, most=LONGEST_NAME) or token_hex(16)
