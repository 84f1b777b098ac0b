"""The HTML of the texts that a page shows: in Markdown, or exactly as they are.

They are built in a thread, while the event loop answers other requests. Each text in Markdown is
rendered once. A page renders a limited number of new ones; the others are shown as they are until
the page is loaded again. Reasons are in docs/decisions/markdown.md.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Lock
from typing import Generic, TypeAlias, TypeVar

from markupsafe import Markup

from web.ui.markdown import RenderedText, is_plain, render_markdown, render_plain
from web.ui.text_display import reveal_lines
from web.ui.translation import _

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """The values that were used last, for any thread."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length  # characters of all keys and values, of up to 4 bytes each
        self._values: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self.length = 0
        self._lock = Lock()

    def find(self, key: Key) -> Value | None:
        """Return a value, or None if it is not kept."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def keep(self, key: Key, value: Value, length: int) -> None:
        """Keep a value unless it is too long; `length` is that of the key and the value."""
        if length > self.max_length:
            return
        with self._lock:
            if key in self._values:
                self.length -= self._values.pop(key)[1]
            self._values[key] = (value, length)
            self.length += length
            while self.length > self.max_length:
                self.length -= self._values.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._values.clear()
            self.length = 0

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._values)


Result = TypeVar("Result")
FormattedTexts: TypeAlias = Mapping[str, Markup]
"""The HTML of each text of a page, and of the empty text."""

PAGE_STEPS = 200_000  # for the new texts of a page; 200 ordinary texts of 2 kB take 30,000
BATCH_STEPS = 20_000  # for a page; then other pages have their turn
BATCH_LENGTH = 20_000  # characters of exact texts that a batch ends after; the longest take 60 ms

RENDERED: BoundedCache[str, RenderedText] = BoundedCache(8_000_000)
TEXT_THREAD = ThreadPoolExecutor(1, "markdown")  # one: more would take more of the loop's time
PAGE_THREAD = ThreadPoolExecutor(1, "pages")
"""For what is not done in batches: with the longest texts a page takes seconds."""

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
            formatted |= await loop.run_in_executor(TEXT_THREAD, rendering.render_batch)
    return formatted


async def run_in_page_thread(render: Callable[[], Result]) -> Result:
    """Call a function in the thread for whole pages, with the language of the reader."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(PAGE_THREAD, copy_context().run, render)


async def reveal_texts(texts: Iterable[str]) -> Mapping[str, Markup]:
    """Return the HTML of exact texts. Call it without a database connection.

    The HTML is not kept: it can be a hundred times as long as a text, and is rarely shown again.
    """
    revealed: dict[str, Markup] = {}
    waiting = {text for text in texts if text}
    loop, context = asyncio.get_running_loop(), copy_context()  # with the language of the reader
    while waiting:
        revealed |= await loop.run_in_executor(TEXT_THREAD, context.run, _reveal_batch, waiting)
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
