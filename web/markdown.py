"""What people and agents write, as HTML that is safe to show.

Nothing of their HTML is taken over, pictures become links (a picture is a request to a stranger's
server), headings become strong lines (the page's own headings stay in order), and what comes out
is cleaned once more by a list of what is allowed.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markupsafe import Markup, escape

MENTION = r"(?<![A-Za-z0-9_%+@/.-])@[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
ADDRESS = r"https?://[^\s<>\"'`\\]+[^\s<>\"'`\\.,:;!?)\]}*_~]"
SPOTS = re.compile(f"(?P<mention>{MENTION})|(?P<address>{ADDRESS})")

TAGS = {
    *("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("span", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"a": {"href", "title"}, "span": {"class"}, "p": {"class"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}

LONGEST = 20_000  # characters
MOST_BRACKETS = 2_000  # each may open a link, whose end is looked for
MOST_CELLS = 8_000  # of tables, whose short rows are filled up to the width of the first
DEEPEST = 20  # quotes, lists and emphasis within each other
REMEMBERED = 256  # texts
RULED = re.compile(r"[|:\- \t]+")  # what the line below a table's head consists of


def to_html(text: str | None) -> Markup:
    """Return a text in Markdown as safe HTML. Mentions are marked, addresses become links.

    A text that would take long to understand is shown as it was typed.
    """
    text = text or ""
    return _plain(text) if _takes_long(text) else _rendered(text)


def _takes_long(text: str) -> bool:
    if len(text) > LONGEST or text.count("[") > MOST_BRACKETS:
        return True
    widest = max((part.count("|") for part in RULED.findall(text)), default=0)
    return widest * text.count("\n") > MOST_CELLS


def _plain(text: str) -> Markup:
    return Markup("<p>{}</p>\n").format(Markup("<br>\n").join(map(escape, text.splitlines())))


@lru_cache(REMEMBERED)  # parts of pages are shown again with every change of something in them
def _rendered(text: str) -> Markup:
    html = nh3.clean(
        _markdown.render(text),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=SCHEMES,
        link_rel="nofollow noopener",
    )
    return Markup(html)  # noqa: S704 (this is where it became safe)


def _mark_spots(state: StateCore) -> None:
    """Split the text of a paragraph at mentions and bare addresses, but not inside links."""
    for block in state.tokens:
        if block.type == "inline" and block.children:
            block.children = _split(block.children)


def _split(tokens: Sequence[Token]) -> list[Token]:
    split: list[Token] = []
    depth = 0
    for token in tokens:
        depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        if token.type == "text" and depth == 0 and SPOTS.search(token.content):
            split += _pieces(token.content)
        else:
            split.append(token)
    return split


def _pieces(text: str) -> list[Token]:
    pieces, start = [], 0
    for spot in SPOTS.finditer(text):
        pieces.append(_text(text[start : spot.start()]))
        if spot["mention"]:
            pieces += [
                _open("span", "class", "mention"),
                _text(spot[0]),
                Token("span_close", "span", -1),
            ]
        else:
            pieces += [_open("a", "href", spot[0]), _text(spot[0]), Token("link_close", "a", -1)]
        start = spot.end()
    return [*pieces, _text(text[start:])]


def _open(tag: str, attribute: str, value: str) -> Token:
    return Token("link_open" if tag == "a" else "span_open", tag, 1, attrs={attribute: value})


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _picture(
    renderer: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any
) -> str:
    """Show a picture as a link to it."""
    picture = tokens[at]
    address = str(picture.attrs.get("src", ""))
    words = renderer.renderInlineAsText(picture.children or [], options, env) or address
    return str(Markup('<a href="{}">{}</a>').format(address, words))


def _heading_opens(*_: object) -> str:
    return '<p class="prose__h"><strong>'


def _heading_closes(*_: object) -> str:
    return "</strong></p>\n"


_markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": DEEPEST})
_markdown.enable(["table", "strikethrough"])
_markdown.core.ruler.push("spots", _mark_spots)
_markdown.add_render_rule("image", _picture)
_markdown.add_render_rule("heading_open", _heading_opens)
_markdown.add_render_rule("heading_close", _heading_closes)
