"""Display of user text exactly as it is, with its hidden characters, of values and of scores."""

import json
import re
import sys
from collections.abc import Callable
from functools import cache
from itertools import chain, groupby
from unicodedata import category

from markupsafe import Markup, escape

from services.approval_actions import list_unusual_characters
from web.ui.locale_format import format_number
from web.ui.translation import _

HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}  # not drawn, or blank
VISIBLE_WHITESPACE = {" ", "\n", "\t"}
FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U00016fe4\U0001d159"
EMOJI_SELECTOR = "\ufe0f"
SELECTORS = [range(0x180B, 0x1810), range(0xFE00, 0xFE0F), range(0xE0100, 0xE01F0)]
BLANK_CHARACTERS = frozenset(FILLERS).union(map(chr, chain(*SELECTORS)))
"""Characters of other categories that are not drawn."""
FIRST_UNDRAWN = 0x40000
UNDRAWN = f"{chr(FIRST_UNDRAWN)}-{chr(sys.maxunicode)}"
"""From here on, all characters are unassigned, tags, selectors or private."""

HIDDEN_HTML = Markup('<mark class="hidden-char" title="{}">{}</mark>')
HIDDEN_TEXT = "⟦{}⟧"


def format_value(value: object) -> str:
    """Format a value of JSON as text; a text is shown without quotes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@cache
def _hidden_pattern() -> re.Pattern[str]:
    """Build the expression for hidden characters from the Unicode database.

    The selector that makes an emoji of a symbol is hidden only where it does not follow a symbol.
    A character class is fast only if it has no characters above U+FFFF, so there are two.
    """
    hidden = _char_class(_is_hidden, range(0x10000))
    high = _char_class(_is_hidden, range(0x10000, FIRST_UNDRAWN))
    symbols = _char_class(
        lambda code: category(chr(code)) == "So" and chr(code) not in BLANK_CHARACTERS,
        range(FIRST_UNDRAWN),
    )
    selector = f"{EMOJI_SELECTOR}(?<!{symbols}{EMOJI_SELECTOR})"
    return re.compile(f"(?:{hidden}|(?=[\U00010000-\U0010ffff])(?:{high}|[{UNDRAWN}])|{selector})+")


def _is_hidden(code: int) -> bool:
    character = chr(code)
    if character in BLANK_CHARACTERS:
        return True
    return category(character) in HIDDEN_CATEGORIES and character not in VISIBLE_WHITESPACE


def _char_class(is_member: Callable[[int], bool], codes: range) -> str:
    """Return a character class of an expression, with ranges."""
    groups = groupby(codes, key=is_member)
    members = [list(group) for belongs, group in groups if belongs]
    ranges = (rf"\U{group[0]:08x}-\U{group[-1]:08x}" for group in members)
    return f"[{''.join(ranges)}]"


def reveal(text: object) -> Markup:
    """Return a text as HTML with the names of its hidden characters in place of them.

    Hidden are characters that are not visible, look like a blank or change the direction: a user
    who decides has to see all of a text.
    """
    html = _replace_hidden(
        escape(str(text)), lambda names: HIDDEN_HTML.format(_("Invisible character"), names)
    )
    return break_long_words(html)


def reveal_lines(text: object) -> Markup:
    """Return a text of several lines as HTML like `reveal`. CRLF is an ordinary line break."""
    return reveal(str(text).replace("\r\n", "\n"))


def reveal_text(text: object) -> str:
    """Return a text with the names of its hidden characters, for attributes."""
    return _replace_hidden(str(text), HIDDEN_TEXT.format)


def _replace_hidden(text: str, show: Callable[[str], str]) -> str:
    """Put the names of hidden characters in place of them. The time is linear in the length."""
    if text.isascii() and text.isprintable():
        return text
    names: dict[str, str] = {}  # equal runs of hidden characters are frequent in hostile texts

    def replace(match: re.Match[str]) -> str:
        run = match[0]
        if run not in names:
            names[run] = show(_name_characters(run))
        return names[run]

    return _hidden_pattern().sub(replace, text)


def _name_characters(characters: str) -> str:
    """Return the code points; more than three equal ones are counted."""
    names: list[str] = []
    for character, group in groupby(characters):
        name, count = f"U+{ord(character):04X}", len(list(group))
        if count <= 3:
            names += [name] * count
        else:
            text = _("%(character)s (%(count)s times)", character=name, count=format_number(count))
            names.append(text)
    return " ".join(names)


LOW_CONFIDENCE = 80  # of 100; below it, pages highlight a score, and bulk approval is confirmed


def format_score(score: float) -> str:
    """Format a score of 0 to 100. One of at most 1 is not rounded, because it may be a fraction."""
    return format_number(float(f"{score:g}")) if score <= 1 else str(round(score))


def describe_confidence(score: float) -> str:
    """Describe a confidence, and name the scale if it may be on another one."""
    shown = format_score(score)
    if score <= 1:
        return _("%(score)s — the scale is 0 to 100", score=shown)
    return _("%(score)s of 100", score=shown)


UNSPACED = "(?![\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])"  # no sign of scripts without spaces
CHARACTER = rf"(?:&[#\w]{{1,8}};|{UNSPACED}[^\s<>&])"
TAG_OR_WORD = re.compile(rf"(<[^>]*>)|({CHARACTER}+)")
LONG_WORD = 1_000  # characters
PIECE = re.compile(rf"{CHARACTER}{{20}}")


def break_long_words(html: str) -> Markup:
    """Add places for line breaks: Chromium needs 20 s for a word of 100,000 letters without."""

    def break_word(found: re.Match[str]) -> str:
        is_long_word = not found[1] and len(found[2]) >= LONG_WORD
        return PIECE.sub(r"\g<0><wbr>", found[2]) if is_long_word else found[0]

    if max(map(len, html.split()), default=0) >= LONG_WORD:
        html = TAG_OR_WORD.sub(break_word, html)
    return Markup(html)  # noqa: S704 (safe before, and only tags are added)


def name_unusual_characters(kind: str) -> str:
    """Return the letters of a kind that look like others, with their code points; "" if none."""
    return ", ".join(f"{one} (U+{ord(one):04X})" for one in list_unusual_characters(kind))
