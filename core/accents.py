"""Remove accents from texts that are compared in searches and filters.

The SQL function `without_accents` does the same, and the words of searched rows contain the result
beside the word as it is written (docs/decisions/search.md).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from unicodedata import normalize

SINGLE = {
    **{"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ħ": "h", "Ħ": "H"},
    **{"ŧ": "t", "Ŧ": "T", "ð": "d", "Ð": "D"},
    "\u0131": "i",  # the Turkish i without a dot
    **{"\u0451": "\u0435", "\u0401": "\u0415"},  # the Cyrillic e with two dots
}
"""Letters that are replaced by one, beside those with accents that Unicode separates."""
DOUBLE = {
    **{"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "TH"},
}
"""Letters that are replaced by two."""
MARKS = "\u0300-\u036f"
LATIN_OR_GREEK = "A-Za-z\u00c0-\u024f\u1e00-\u1eff\u0370-\u03ff\u1f00-\u1fff"
"""The letters that lose their marks. A Cyrillic й is a letter of its own."""
ACCENTED = f"[{MARKS}\u00c0-\u024f\u1e00-\u1eff\u0370-\u03ff\u1f00-\u1fff\u0451\u0401]"
"""Characters of texts that may have accents. The migration of `without_accents` has copies."""

_ACCENTED = re.compile(ACCENTED)
_MARKED = re.compile(f"([{LATIN_OR_GREEK}])[{MARKS}]+")
_PLAIN = str.maketrans(SINGLE | DOUBLE)


def remove_accents(text: str) -> str:
    """Return a text without accents, for a comparison."""
    if _ACCENTED.search(text) is None:
        return text
    return normalize("NFC", _MARKED.sub(r"\1", normalize("NFD", text))).translate(_PLAIN)


def map_plain_text(text: str) -> tuple[str, Sequence[int]]:
    """Return a text without accents, and the index in the text of each of its characters.

    The last index is the length of the text.
    """
    if _ACCENTED.search(text) is None:
        return text, range(len(text) + 1)
    parts = [_remove_from_character(character) for character in text]
    places = [index for index, part in enumerate(parts) for _ in part]
    return "".join(parts), [*places, len(text)]


@lru_cache(4096)
def _remove_from_character(character: str) -> str:
    return "" if re.match(f"[{MARKS}]", character) else remove_accents(character)
