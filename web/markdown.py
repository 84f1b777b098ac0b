"""What people and agents write, as HTML that is safe to show.

Nothing of their HTML is taken over, pictures become links (a picture is a request to a stranger's
server), headings become strong lines (the page's own headings stay in order), and what comes out
is cleaned once more by a list of what is allowed.
"""

import re
from collections.abc import Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markupsafe import Markup

MENTION = r"(?<![A-Za-z0-9_%+@/.-])@[A-Za-z][A-Za-z0-9_-]{0,31}"
ADDRESS = r"https?://[^\s<>\"'`\\]+[^\s<>\"'`\\.,:;!?)\]}*_~]"
SPOTS = re.compile(f"(?P<mention>{MENTION})|(?P<address>{ADDRESS})")

TAGS = {
    *("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("span", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"a": {"href", "title"}, "span": {"class"}, "p": {"class"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}


def to_html(text: str | None) -> Markup:
    """Return a text in Markdown as safe HTML. Mentions are marked, addresses become links."""
    html = nh3.clean(
        _markdown.render(text or ""),
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


_markdown = MarkdownIt("commonmark", {"html": False, "breaks": True})
_markdown.enable(["table", "strikethrough"])
_markdown.core.ruler.push("spots", _mark_spots)
_markdown.add_render_rule("image", _picture)
_markdown.add_render_rule("heading_open", _heading_opens)
_markdown.add_render_rule("heading_close", _heading_closes)
