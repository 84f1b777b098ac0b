"""Texts that are shown exactly, also where something in them would not be seen."""

import re
import unicodedata
from typing import NamedTuple

HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # categories of what is not drawn
SEEN = ("\n", "\t", " ")


class Piece(NamedTuple):
    """A piece of a text: as it is, or the name of a character that one would not see."""

    text: str
    is_hidden: bool = False


def pieces(text: str) -> list[Piece]:
    """Return a text in pieces, with a name for each character that would hide, or turn it round.

    Whoever allows a command has to see all of it.
    """
    found = re.split(r"([^\x20-\x7e\n\t])", text)
    return [Piece(*_named(part)) for part in found if part]


def _named(part: str) -> tuple[str, bool]:
    hides = len(part) == 1 and part not in SEEN and _is_hidden(part)
    return (f"U+{ord(part):04X}", True) if hides else (part, False)


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return category in HIDDEN or (category == "Zs" and character != " ")
