"""Display of user text: Markdown and hidden characters.

HTML in Markdown is escaped, images become links (an image would send a request to another server),
headings become strong lines (the heading structure of the page stays valid), and the result is
sanitized by an allow list.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markupsafe import Markup, escape

HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # categories of what is not drawn
VISIBLE_WHITESPACE = ("\n", "\t", " ")


class TextPiece(NamedTuple):
    """A piece of a text, or the name of a hidden character."""

    text: str
    is_hidden: bool = False


def split_hidden_characters(text: str) -> list[TextPiece]:
    """Split a text at characters that are not visible or change its direction.

    A user who allows a command has to see all of it.
    """
    found = re.split(r"([^\x20-\x7e\n\t])", text)
    return [TextPiece(*_name_if_hidden(part)) for part in found if part]


def _name_if_hidden(part: str) -> tuple[str, bool]:
    hides = len(part) == 1 and part not in VISIBLE_WHITESPACE and _is_hidden(part)
    return (f"U+{ord(part):04X}", True) if hides else (part, False)


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return category in HIDDEN_CATEGORIES or (category == "Zs" and character != " ")


MENTION = r"(?<![A-Za-z0-9_%+@/.-])@[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
URL = r"https?://[^\s<>\"'`\\]+[^\s<>\"'`\\.,:;!?)\]}*_~]"
MENTION_OR_URL = re.compile(f"(?P<mention>{MENTION})|(?P<address>{URL})")

TAGS = {
    *("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("span", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"a": {"href", "title"}, "span": {"class"}, "p": {"class"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}

MAX_LENGTH = 20_000  # characters
MAX_BRACKETS = 2_000  # each can start a link, whose end is searched for
MAX_CELLS = 8_000  # of tables; short rows are filled to the width of the header
MAX_NESTING = 20  # levels of nested quotes, lists and emphasis
CACHE_SIZE = 256  # texts
TABLE_RULE = re.compile(r"[|:\- \t]+")  # the line below the header of a table


def render_markdown(text: str | None) -> Markup:
    """Render Markdown as safe HTML, with mentions and URLs marked.

    Text that would be expensive to parse is shown unformatted.
    """
    text = text or ""
    return _render_plain(text) if _is_expensive(text) else _render_cached(text)


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
    return Markup(html)  # noqa: S704 (sanitized above)


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
_markdown.core.ruler.push("spots", _mark_mentions_and_urls)
_markdown.add_render_rule("image", _render_image)
_markdown.add_render_rule("heading_open", _render_heading_open)
_markdown.add_render_rule("heading_close", _render_heading_close)
