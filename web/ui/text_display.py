"""Display of user text: Markdown and hidden characters.

HTML in Markdown is escaped, images become links (an image would send a request to another server),
headings become strong lines (the heading structure of the page stays valid), and the result is
sanitized by an allow list.
"""

import re
import sys
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import chain, groupby
from typing import Any
from unicodedata import category

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markupsafe import Markup, escape

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

MAX_NAMED = 3  # equal hidden characters in a row; more are counted
HIDDEN_HTML = Markup('<mark class="hidden-char" title="{}">{}</mark>')
HIDDEN_TEXT = "⟦{}⟧"


@cache
def _hidden_pattern() -> re.Pattern[str]:
    """Build the expression for hidden characters from the Unicode database.

    The selector that makes an emoji of a symbol is hidden only where it does not follow a symbol.
    A character class is fast only if it has no characters above U+FFFF, so there are two.
    """
    hidden = _char_class(_is_hidden, range(0x10000))
    high = _char_class(_is_hidden, range(0x10000, FIRST_UNDRAWN))
    symbols = _char_class(_is_symbol, range(FIRST_UNDRAWN))
    selector = f"{EMOJI_SELECTOR}(?<!{symbols}{EMOJI_SELECTOR})"
    return re.compile(f"(?:{hidden}|(?=[\U00010000-\U0010ffff])(?:{high}|[{UNDRAWN}])|{selector})+")


def _is_hidden(code: int) -> bool:
    character = chr(code)
    if character in BLANK_CHARACTERS:
        return True
    return category(character) in HIDDEN_CATEGORIES and character not in VISIBLE_WHITESPACE


def _is_symbol(code: int) -> bool:
    return category(chr(code)) == "So" and chr(code) not in BLANK_CHARACTERS


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
    html = _replace_hidden(escape(str(text)), _mark_hidden)
    return _break_long_words(html)


def reveal_lines(text: object) -> Markup:
    """Return a text of several lines as HTML like `reveal`. CRLF is an ordinary line break."""
    return reveal(str(text).replace("\r\n", "\n"))


def reveal_text(text: object) -> str:
    """Return a text with the names of its hidden characters, for attributes."""
    return _replace_hidden(str(text), HIDDEN_TEXT.format)


def _mark_hidden(names: str) -> str:
    return HIDDEN_HTML.format(_("Invisible character"), names)


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
        names += [name] * count if count <= MAX_NAMED else [_name_repeated(name, count)]
    return " ".join(names)


def _name_repeated(name: str, count: int) -> str:
    return _("%(character)s (%(count)s times)", character=name, count=format_number(count))


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
MENTION = (
    rf"(?<![A-Za-z0-9_%+@/.-])@(?:{UNSPACED}[^\W_](?:{UNSPACED}[\w-]){{0,99}}|[^\W_][\w-]{{0,99}})"
)
URL = r"https?://[^\s<>\"'`\\]+[^\s<>\"'`\\.,:;!?)\]}*_~]"
MENTION_OR_URL = re.compile(f"(?P<mention>{MENTION})|(?P<address>{URL})")

TAGS = {
    *("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("span", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES: dict[str, set[str]] = {
    "*": set(),  # else titles are allowed, whose text is hidden and can contain entities
    "a": {"href"},
    "span": {"class"},
    "p": {"class"},
    "ol": {"start"},
}
SCHEMES = {"http", "https", "mailto"}

MAX_LENGTH = 20_000  # characters
MAX_BRACKETS = 2_000  # each can start a link, whose end is searched for
MAX_CELLS = 8_000  # of tables; short rows are filled to the width of the header
MAX_NESTING = 20  # levels of nested quotes, lists and emphasis
CACHE_SIZE = 256  # texts
CHARACTER = rf"(?:&[#\w]{{1,8}};|{UNSPACED}[^\s<>&])"
TAG_OR_WORD = re.compile(rf"(<[^>]*>)|({CHARACTER}+)")
LONG_WORD = 1_000  # characters
PIECE = re.compile(rf"{CHARACTER}{{20}}")
TABLE_RULE = re.compile(r"[|:\- \t]+")  # the line below the header of a table


def render_markdown(text: str | None) -> Markup:
    """Render Markdown as safe HTML, with mentions and URLs marked.

    Text that would be expensive to parse is shown unformatted. Markdown can hide parts of a text;
    where a user decides about a text, show it exactly, with `reveal_lines`.
    """
    text = text or ""
    return _break_long_words(_render_plain(text)) if _is_expensive(text) else _render_cached(text)


def _is_expensive(text: str) -> bool:
    if len(text) > MAX_LENGTH or text.count("[") > MAX_BRACKETS:
        return True
    widest = max((part.count("|") for part in TABLE_RULE.findall(text)), default=0)
    return widest * text.count("\n") > MAX_CELLS


def _render_plain(text: str) -> Markup:
    return Markup("<p>{}</p>\n").format(Markup("<br>\n").join(map(escape, text.splitlines())))


@lru_cache(CACHE_SIZE)  # parts of pages are shown again with every change of something in them
def _render_cached(text: str) -> Markup:
    html = nh3.clean(
        _markdown.render(text),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=SCHEMES,
        link_rel="nofollow noopener",
    )
    return _break_long_words(html)


def _break_long_words(html: str) -> Markup:
    """Add places for line breaks: Chromium needs 20 s for a word of 100,000 letters without."""
    if max(map(len, html.split()), default=0) >= LONG_WORD:
        html = TAG_OR_WORD.sub(lambda found: found[1] or _break_word(found[2]), html)
    return Markup(html)  # noqa: S704 (safe before, and only tags are added)


def _break_word(word: str) -> str:
    return PIECE.sub(r"\g<0><wbr>", word) if len(word) >= LONG_WORD else word


def _mark_mentions_and_urls(state: StateCore) -> None:
    """Mark mentions and bare URLs in paragraphs, except inside links."""
    for block in state.tokens:
        if block.type == "inline" and block.children:
            block.children = _split_tokens(block.children)


def _split_tokens(tokens: Sequence[Token]) -> list[Token]:
    split: list[Token] = []
    depth = 0
    for token in tokens:
        depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        if token.type == "text" and depth == 0 and MENTION_OR_URL.search(token.content):
            split += _split_text(token.content)
        else:
            split.append(token)
    return split


def _split_text(text: str) -> list[Token]:
    pieces, start = [], 0
    for spot in MENTION_OR_URL.finditer(text):
        pieces.append(_text_token(text[start : spot.start()]))
        if spot["mention"]:
            pieces += [
                _open_token("span", "class", "mention"),
                _text_token(spot[0]),
                Token("span_close", "span", -1),
            ]
        else:
            pieces += [
                _open_token("a", "href", spot[0]),
                _text_token(spot[0]),
                Token("link_close", "a", -1),
            ]
        start = spot.end()
    return [*pieces, _text_token(text[start:])]


def _open_token(tag: str, attribute: str, value: str) -> Token:
    return Token("link_open" if tag == "a" else "span_open", tag, 1, attrs={attribute: value})


def _text_token(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _render_image(
    renderer: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any
) -> str:
    """Render an image as a link to it."""
    picture = tokens[at]
    address = str(picture.attrs.get("src", ""))
    words = renderer.renderInlineAsText(picture.children or [], options, env) or address
    return str(Markup('<a href="{}">{}</a>').format(address, words))


def _render_heading_open(*_: object) -> str:
    return '<p class="prose__h"><strong>'


def _render_heading_close(*_: object) -> str:
    return "</strong></p>\n"


_markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": MAX_NESTING})
_markdown.enable(["table", "strikethrough"])
_markdown.disable("entity")  # entities would be read as characters, also invisible ones
_markdown.core.ruler.push("spots", _mark_mentions_and_urls)
_markdown.add_render_rule("image", _render_image)
_markdown.add_render_rule("heading_open", _render_heading_open)
_markdown.add_render_rule("heading_close", _render_heading_close)
