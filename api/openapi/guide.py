"""The guide for agent authors as a page, and the text that tells programs where to begin."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from api.openapi.document import ROOT, environment, get_asset_url

GUIDE = ROOT / "docs/agents.md"
GUIDE_URL = "/docs/agents"
_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")


def render_guide(server: str, path: Path = GUIDE) -> str:
    """Return the page of the guide, for the server's base URL."""
    tokens = _markdown.parse(path.read_text())
    sections = [one for one in _mark_headings(tokens) if one[0] == "h2"]
    _unlink_other_files(tokens)
    content = Markup(_markdown.renderer.render(tokens, _markdown.options, {}))  # noqa: S704
    template = environment.get_template("agent_guide.html")
    return template.render(
        asset_url=get_asset_url, content=content, sections=sections, server=server
    )


def _mark_headings(tokens: Sequence[Token]) -> list[tuple[str, str, str]]:
    """Give the headings ids, and return their tags, ids and texts."""
    found = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            id = re.sub(r"[^\w]+", "-", inline.content.lower()).strip("-")
            token.attrSet("id", id)
            found.append((token.tag, id, inline.content))
    return found


def _unlink_other_files(tokens: Sequence[Token]) -> None:
    """Show links to other files of the documentation as text: only this one is served."""
    for token in tokens:
        is_unlinked = False
        for child in token.children or ():
            if child.type == "link_open":
                is_unlinked = not str(child.attrGet("href")).startswith(("#", "/", "http"))
            if is_unlinked and child.type in ("link_open", "link_close"):
                child.tag, child.attrs = "span", {}


def render_llms_text(server: str) -> str:
    """Return the text for programs that find this server, as https://llmstxt.org describes it."""
    return environment.get_template("llms.txt").render(server=server.rstrip("/"))
