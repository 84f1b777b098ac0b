"""Searching for words: what is typed becomes a query that cannot fail, and its hits are marked.

A word is what stands between blanks and signs, and it is found by its beginning. The database cuts
its texts in the same way, with the function `words_of` (docs/decisions/search.md).
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, literal, literal_column

SIGNS = (
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»\u2039\u203a“”„\u2018\u2019\u201a\u2013—…·•→←\u00a0"
    "、。\uff0c\uff01\uff1f\uff1a\uff1b\uff08\uff09「」『』"
)
"""What parts words. The migration that made `words_of` has a copy, and a test compares them."""

MOST_WORDS = 20  # of one query; who types more looks for something else
SIMPLE = literal_column("'simple'::regconfig")
WEIGHTS = literal_column("'{0.1, 0.2, 0.4, 1.0}'::real[]")  # of a title, 1.0; of a text, 0.1

_APART = str.maketrans(SIGNS, " " * len(SIGNS))


class Part(NamedTuple):
    """A piece of a text, and whether it is what was looked for."""

    text: str
    hit: bool


def words(typed: str) -> list[str]:
    """Return the words that somebody has typed, at most MOST_WORDS of them."""
    return typed.translate(_APART).split()[:MOST_WORDS]


def query_of(wanted: Sequence[str]) -> ColumnElement[Any]:
    """Make PostgreSQL's query for texts that have all of these words, or longer ones."""
    return func.to_tsquery(SIMPLE, literal(" & ".join(f"'{word}':*" for word in wanted)))


def rank(found: Any, query: ColumnElement[Any]) -> ColumnElement[Any]:
    """Make a number that is higher where words stand in the title, close together, or often."""
    return func.ts_rank(WEIGHTS, found, query)


def marked(text: str, wanted: Sequence[str]) -> list[Part]:
    """Cut a text into parts: words that begin as one of those that are wanted, and the rest."""
    if not wanted:
        return [Part(text, False)] if text else []
    beginnings = "|".join(re.escape(word) for word in sorted(wanted, key=len, reverse=True))
    inside = "[^\\s" + re.escape(SIGNS) + "]"
    pieces = re.split(f"(?<!{inside})((?:{beginnings}){inside}*)", text, flags=re.IGNORECASE)
    return [Part(piece, n % 2 == 1) for n, piece in enumerate(pieces) if piece]
