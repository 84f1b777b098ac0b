"""Build full-text queries from user input that cannot fail, and highlight matches.

Words are separated by whitespace and SEPARATORS and are matched by prefix; of UNSPACED characters
each pair is a word. The SQL function `words_of` splits stored texts in the same way
(docs/decisions/search.md).
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, REAL, ColumnElement, String, bindparam, func, literal, literal_column

from core.accents import build_pattern, remove_accents

SEPARATORS = (
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»\u2039\u203a“”„\u2018\u2019\u201a\u2013—…·•→←\u00a0"
    "、。\uff0c\uff01\uff1f\uff1a\uff1b\uff08\uff09「」『』"
)
"""Word separators. The migration that creates `words_of` has a copy; a test compares them."""

UNSPACED = "\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Characters of Chinese and Japanese, which have no spaces between words. `words_of` has a copy."""

MAX_WORDS = 20  # of one query
SIMPLE_CONFIG = literal_column("'simple'::regconfig")
WEIGHTS = literal_column("'{0.1, 0.2, 0.4, 1.0}'::real[]")  # of a title, 1.0; of a text, 0.1

_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "\\%_"})
_RUNS = re.compile(f"[{UNSPACED}]+|[^{UNSPACED}]+")
_UNSPACED_START = re.compile(f"[{UNSPACED}]")
_APART = str.maketrans(SEPARATORS, " " * len(SEPARATORS))


class TextPart(NamedTuple):
    """Hold a part of a text and whether it matches the query."""

    text: str
    hit: bool


def split_words(typed: str) -> list[str]:
    """Return the words of the input, at most MAX_WORDS."""
    return typed.translate(_APART).split()[:MAX_WORDS]


TSQUERY = func.to_tsquery(SIMPLE_CONFIG, bindparam("tsquery", type_=String))
"""The query that `format_tsquery` describes, as the parameter `tsquery`."""


def build_tsquery(wanted: Sequence[str]) -> ColumnElement[Any]:
    """Build a tsquery that matches texts with all words, each by prefix."""
    return func.to_tsquery(SIMPLE_CONFIG, literal(format_tsquery(wanted)))


def format_tsquery(wanted: Sequence[str]) -> str:
    """Return the text of a query that matches texts with all words, each by prefix."""
    return " & ".join(part for word in wanted for part in _format_word(word))


def _format_word(word: str) -> list[str]:
    """Return the conditions for a word: its pairs of unspaced characters, and its other parts."""
    parts = []
    for run in _RUNS.findall(remove_accents(word)):
        if len(run) > 1 and is_unspaced(run):
            parts += [f"'{one}{other}'" for one, other in pairwise(run)]
        else:
            parts.append(f"'{run}':*")
    return parts


def is_unspaced(word: str) -> bool:
    """Return whether a word begins with a character of a script without spaces."""
    return _UNSPACED_START.match(word) is not None


def contains_words(*texts: Any) -> ColumnElement[bool]:
    """Build the condition that each word is in one of these short texts, at any place.

    Accents make no difference. Its parameter `patterns` is what `format_patterns` returns.
    """
    patterns = func.all(bindparam("patterns", type_=ARRAY(String)))
    said = without_accents(func.concat_ws("\n", *texts))
    return said.bool_op("ILIKE")(patterns)


def format_patterns(words: Sequence[str]) -> list[str]:
    """Return the pattern of each word for `contains_words`."""
    return [f"%{remove_accents(word).translate(_ESCAPED)}%" for word in words]


def without_accents(text: Any) -> ColumnElement[str]:
    """Return a text as `remove_accents` does, in the database."""
    return func.without_accents(text, type_=String)


def build_rank(found: Any, query: ColumnElement[Any]) -> ColumnElement[Any]:
    """Build a rank that is higher for matches in the title, close together, or frequent."""
    return func.ts_rank(WEIGHTS, found, query, type_=REAL)


def highlight_matches(text: str, wanted: Sequence[str]) -> list[TextPart]:
    """Split a text into matching words and the text between them."""
    if not wanted:
        return [TextPart(text, False)] if text else []
    parts, end = [], 0
    for hit in re.finditer(format_hit_pattern(wanted), text):
        start, stop = hit.span()
        parts += [TextPart(text[end:start], False), TextPart(text[start:stop], True)]
        end = stop
    return [part for part in [*parts, TextPart(text[end:], False)] if part.text]


def format_hit_pattern(wanted: Sequence[str]) -> str:
    """Return a pattern of words that begin with a wanted one, or of unspaced ones.

    It is for Python and PostgreSQL.
    """
    longest_first = sorted(wanted, key=len, reverse=True)
    beginnings = "|".join(build_pattern(word) for word in longest_first if not is_unspaced(word))
    anywhere = "|".join(build_pattern(word) for word in longest_first if is_unspaced(word))
    inside = f"[^\\s{UNSPACED}{re.escape(SEPARATORS)}]"
    kinds = [f"(?<!{inside})(?:{beginnings}){inside}*"] if beginnings else []
    return "|".join([*kinds, anywhere] if anywhere else kinds)
