"""The HTML of the texts that a page shows: in Markdown, or exactly as they are.

They are built in a thread, while the event loop answers other requests. Each text in Markdown is
rendered once. A page renders a limited number of new ones; the others are shown as they are until
the page is loaded again. Reasons are in docs/decisions/markdown.md.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeAlias, TypeVar

from markupsafe import Markup

from web.ui.bounded_cache import BoundedCache
from web.ui.markdown import RenderedText, is_plain, render_markdown, render_plain
from web.ui.text_display import reveal_lines
from web.ui.translation import _

Result = TypeVar("Result")
FormattedTexts: TypeAlias = Mapping[str, Markup]
"""The HTML of each text of a page, and of the empty text."""

MAX_CACHE_LENGTH = 8_000_000  # characters of all texts and their HTML, of up to 4 bytes each
PAGE_STEPS = 200_000  # for the new texts of a page; 200 ordinary texts of 2 kB take 30,000
BATCH_STEPS = 20_000  # for a page; then other pages have their turn
BATCH_LENGTH = 20_000  # characters of exact texts that a batch ends after; the longest take 60 ms

RENDERED: BoundedCache[str, RenderedText] = BoundedCache(MAX_CACHE_LENGTH)
RENDERER = ThreadPoolExecutor(1, "markdown")  # one: more would take more of the loop's time

NOTICE = Markup('<p class="xs dim">{} <a class="link" href="">{}</a></p>\n')


async def format_texts(texts: Iterable[str | None]) -> FormattedTexts:
    """Return the HTML of texts in Markdown. Call it without a database connection.

    Short texts are rendered first, so that long ones do not use up what the page may render.
    """
    formatted = {"": Markup()}
    missing: set[str] = set()
    for text in texts:
        if text and text not in formatted:
            if rendered := RENDERED.find(text):
                formatted[text] = rendered.html
            else:
                missing.add(text)
    if missing:
        loop = asyncio.get_running_loop()
        rendering = _PageRendering(sorted(missing, key=len, reverse=True))
        while rendering.waiting:
            formatted |= await loop.run_in_executor(RENDERER, rendering.render_batch)
    return formatted


async def run_in_renderer(render: Callable[[], Result]) -> Result:
    """Call a function in the thread, with the language of the reader."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(RENDERER, copy_context().run, render)


async def reveal_texts(texts: Iterable[str]) -> Mapping[str, Markup]:
    """Return the HTML of exact texts. Call it without a database connection.

    The HTML is not kept: it can be a hundred times as long as a text, and is rarely shown again.
    """
    revealed: dict[str, Markup] = {}
    waiting = {text for text in texts if text}
    loop, context = asyncio.get_running_loop(), copy_context()  # with the language of the reader
    while waiting:
        revealed |= await loop.run_in_executor(RENDERER, context.run, _reveal_batch, waiting)
    return revealed


def _reveal_batch(waiting: set[str]) -> dict[str, Markup]:
    """Reveal some texts. Called in the thread."""
    done: dict[str, Markup] = {}
    length = 0
    while waiting and length < BATCH_LENGTH:
        text = waiting.pop()
        done[text] = reveal_lines(text)
        length += len(text)
    return done


class _PageRendering:
    """The texts of a page that are still to be rendered, the longest first."""

    def __init__(self, waiting: list[str]) -> None:
        self.waiting = waiting
        self._steps_left = PAGE_STEPS
        self._notice = NOTICE.format(
            _("Shown as plain text because this page contains too much formatted text."),
            _("Load the page again to format more of it"),
        )  # the thread does not know the language

    def render_batch(self) -> dict[str, Markup]:
        """Render some texts, from the end. Called in the thread."""
        done: dict[str, Markup] = {}
        steps = 0
        while self.waiting and steps < BATCH_STEPS:
            text = self.waiting.pop()
            rendered = RENDERED.find(text)  # of another page that has shown it meanwhile
            rendered = rendered or self._render(text)
            done[text] = rendered.html
            steps += rendered.steps
        return done

    def _render(self, text: str) -> RenderedText:
        if is_plain(text):
            return render_plain(text)
        if self._steps_left <= 0:
            plain = render_plain(text)
            return RenderedText(plain.html + self._notice, plain.steps)
        rendered = render_markdown(text)
        self._steps_left -= rendered.steps
        RENDERED.keep(text, rendered, len(text) + len(rendered.html))
        return rendered
