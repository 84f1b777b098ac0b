"""Markdown of users and agents as safe HTML.

HTML in Markdown is escaped, images become links (an image would send a request to another server),
headings become strong lines (the heading structure of the page stays valid), and the result is
sanitized by an allow list.

The parser needs quadratic time for some texts, so its steps are counted, and a text that needs too
many is shown as it is. Pages render their texts with `format_texts` (web/ui/formatted_texts.py).
"""

import re
from collections.abc import Sequence
from html import unescape
from typing import Any, NamedTuple

import nh3
from markdown_it import MarkdownIt
from markdown_it.parser_block import ParserBlock
from markdown_it.parser_inline import ParserInline
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markupsafe import Markup, escape

from web.ui.text_display import UNSPACED, break_long_words

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
MAX_STEPS = 20_000  # 50 ms; an ordinary text of the maximum length takes 1,500
MAX_CELLS = 8_000  # of tables; short rows are filled to the width of the header
MAX_NESTING = 20  # levels of nested quotes, lists and emphasis
PLAIN_LENGTH = 20  # characters of a plain text that cost as much as a step
TABLE_RULE = re.compile(r"[|:\- \t]+")  # the line below the header of a table
STEPS = "steps"


class RenderedText(NamedTuple):
    """The HTML of a text, and the steps that it took to render it."""

    html: Markup
    steps: int


class TooComplex(Exception):
    """A text takes too long to parse, or is nested so deeply that the parser would omit a part."""


def render_markdown(text: str) -> RenderedText:
    """Render Markdown as safe HTML, with mentions and URLs marked.

    Text that would be expensive to parse is shown unformatted. Markdown can hide parts of a text;
    where a user decides about a text, show it exactly, with `reveal_lines`.
    """
    if is_plain(text):
        return render_plain(text)
    env: dict[str, Any] = {STEPS: 0}
    try:
        parsed = _markdown.render(text, env)
    except TooComplex:
        return RenderedText(render_plain(text).html, env[STEPS])
    html = nh3.clean(
        parsed, tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel="nofollow noopener"
    )
    return RenderedText(break_long_words(html), env[STEPS])


def is_plain(text: str) -> bool:
    """Return whether a text is shown unformatted without a try to parse it."""
    if len(text) > MAX_LENGTH:
        return True
    widest = max((part.count("|") for part in TABLE_RULE.findall(text)), default=0)
    return widest * text.count("\n") > MAX_CELLS


def render_plain(text: str) -> RenderedText:
    """Render a text as it is, with its line breaks."""
    lines = "<br>\n".join(str(escape(text)).splitlines())
    return RenderedText(break_long_words(f"<p>{lines}</p>\n"), len(text) // PLAIN_LENGTH)


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


class _BlockParser(ParserBlock):
    """Parses quotes and lists; the lines of a quote are parsed again after each nested block."""

    def tokenize(self, state: StateBlock, startLine: int, endLine: int) -> None:  # noqa: N803
        """Parse a range of lines."""
        if state.level >= MAX_NESTING:
            raise TooComplex
        if state.parentType == "blockquote":
            _count_steps(state, endLine - startLine)
        super().tokenize(state, startLine, endLine)


class _InlineParser(ParserInline):
    """Parses the text of a block; each bracket is a start of a link, whose end is searched for."""

    def skipToken(self, state: StateInline) -> None:  # noqa: N802
        """Search for the end of a link."""
        _count_steps(state)
        super().skipToken(state)


def _count_block_step(state: StateBlock, _start: int, _end: int, _silent: bool) -> bool:
    """Count a line at which blocks can begin, before all rules that could match."""
    _count_steps(state)
    return False


def _count_inline_step(state: StateInline, silent: bool) -> bool:
    """Count a place at which formatting can begin, before all rules that could match."""
    if not silent:
        _count_steps(state)
    return False


def _count_steps(state: StateBlock | StateInline, number: int = 1) -> None:
    state.env[STEPS] += number
    if state.env[STEPS] > MAX_STEPS:
        raise TooComplex


def _build_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark")
    parser.block, parser.inline = _BlockParser(), _InlineParser()
    parser.configure("commonmark", {"html": False, "breaks": True, "maxNesting": MAX_NESTING})
    parser.enable(["table", "strikethrough"])
    parser.disable("entity")  # entities would be read as characters, also invisible ones
    parser.core.ruler.push("spots", _mark_mentions_and_urls)
    interrupted = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("table", "steps", _count_block_step, {"alt": interrupted})
    parser.inline.ruler.before("text", "steps", _count_inline_step)
    parser.add_render_rule("image", _render_image)
    parser.add_render_rule("heading_open", lambda *_: '<p class="prose__h"><strong>')
    parser.add_render_rule("heading_close", lambda *_: "</strong></p>\n")
    return parser


_markdown = _build_parser()


ESCAPE = r"\\([!-/:-@\[-`{-~])"
ADDRESS = r"<((?:https?://|mailto:)[^\s<>]++)>"
RULE = r"^[-*_=|: \t]{3,}+$"  # also the line below a heading, and below the header of a table
CODE_FENCE = r"^[ \t]*+(?:```|~~~).*$"
MARKER = r"(?:#{1,6}|\d{1,9}[.)]|[-*+](?:[ \t]++\[[ xX]\])?)(?=[ \t])"  # of a heading, of a list
LINE_START = rf"^(?:[ \t]*+(?:>|{MARKER}))++"
LINK_START = r"!?\[(?=[^\[\]\n]*+\]\()"
LINK_END = r"\]\([^()\s]*+(?: \"[^\"\n]*+\")?\)"
EMPHASIS = r"\*\*++|__++|~~|`++|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)"
FORMATTING = re.compile(
    "|".join(
        (
            ESCAPE,
            ADDRESS,
            RULE,
            CODE_FENCE,
            LINE_START,
            LINK_START,
            LINK_END,
            EMPHASIS,
        )
    ),
    re.MULTILINE,
)
"""The formatting of Markdown; the groups are what stays of an escape and of an address."""


def excerpt_markdown(text: str, length: int = 200) -> str:
    """Return the beginning of a text in Markdown on one line, without its formatting.

    The text is not parsed: lists have an excerpt in each row. The result is not HTML.
    """
    shown = FORMATTING.sub(lambda found: found[1] or found[2] or "", text[: 4 * length])
    plain = " ".join(unescape(shown).split())
    return plain if len(plain) <= length else f"{plain[:length].rstrip()}…"
