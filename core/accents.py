"""Remove accents from texts that are compared in searches and filters.

The SQL function `without_accents` does the same, and the words of searched rows contain the result
beside the word as it is written (docs/decisions/search.md). It takes 0.3 s for 100,000 letters, so
long texts are compared with a pattern instead.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache, lru_cache
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


@lru_cache(256)
def build_pattern(word: str) -> str:
    """Build a regular expression of a word, in any case and with any accents or none.

    It means the same to Python and to PostgreSQL, and captures nothing. Its first and last
    character can be a half of one that is replaced by two.
    """
    plain, parts, place = remove_accents(word), list[str](), 0
    while place < len(plain):
        pair = plain[place : place + 2]
        double = _list_doubles().get(pair.casefold())
        if double:
            single = "".join(_match_any(_list_cases(one)) for one in pair)
            parts.append(f"(?:{single}|{_match_any(double)})")
        else:
            pair = pair[0]
            halves = _list_halves(pair, is_first=place == 0, is_last=place == len(plain) - 1)
            parts.append(_match_any(_list_cases(pair) + halves))
        place += len(pair)
    return "".join(parts)


@cache
def _list_spellings() -> Mapping[str, str]:
    """Return the characters of alphabets with two cases, by what they are without accents."""
    found: defaultdict[str, str] = defaultdict(str)
    for character in filter(str.isalpha, map(chr, range(ord("A"), 0x2000))):
        found[remove_accents(character).casefold()] += character
    return dict(found)


@cache
def _list_doubles() -> Mapping[str, str]:
    return {plain: spelled for plain, spelled in _list_spellings().items() if len(plain) == 2}


def _list_cases(character: str) -> str:
    cases = dict.fromkeys([character, character.lower(), character.upper()])
    others = "".join(one for one in cases if len(one) == 1)
    return _list_spellings().get(character.casefold(), others)


def _list_halves(character: str, *, is_first: bool, is_last: bool) -> str:
    """Return those of which a first character can be the second half, or a last one the first."""
    half = character.casefold()
    return "".join(
        spelled
        for pair, spelled in _list_doubles().items()
        if (is_first and pair[1] == half) or (is_last and pair[0] == half)
    )


def _match_any(characters: str) -> str:
    if re.match(f"[{LATIN_OR_GREEK}]", characters):
        return f"[{characters}][{MARKS}]*"
    decomposed = [normalize("NFD", one) for one in characters]
    spelled = [*map(re.escape, dict.fromkeys([*characters, *decomposed]))]
    return spelled[0] if len(spelled) == 1 else f"(?:{'|'.join(spelled)})"
