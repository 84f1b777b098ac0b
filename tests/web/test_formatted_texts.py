"""The texts of a page: rendered once, in a thread, and not more than a page may."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from markupsafe import Markup

from web.ui import formatted_texts
from web.ui.formatted_texts import (
    PAGE_STEPS,
    RENDERED,
    BoundedCache,
    format_texts,
    run_in_page_thread,
)
from web.ui.markdown import MAX_LENGTH, RenderedText, render_markdown
from web.ui.translation import reader_language

WAIT = 60  # seconds
NOTICE = "Shown as plain text because"
PARAGRAPH = "The **release** is `ready`: [notes](https://x.example/notes), @wren.\n\n- one\n- two\n"


def build_hostile_text(number: int) -> str:
    return f"<script>{number}</script>" + "*a_" * (MAX_LENGTH // 3 - 20)


@pytest.fixture(autouse=True)
def rendered_texts(monkeypatch) -> Iterator[list[str]]:
    """Return the texts that are rendered, each time."""
    RENDERED.clear()
    found: list[str] = []

    def record(text: str) -> RenderedText:
        assert threading.current_thread().name.startswith("markdown")
        found.append(text)
        return render_markdown(text)

    monkeypatch.setattr(formatted_texts, "render_markdown", record)
    yield found
    RENDERED.clear()


async def test_each_text_is_rendered_once(rendered_texts) -> None:
    first = await format_texts(["**a**", "**b**", "**a**", "", None])
    second = await format_texts(["**a**"])
    assert sorted(rendered_texts) == ["**a**", "**b**"]
    assert first["**a**"] == second["**a**"] == "<p><strong>a</strong></p>\n"
    assert first[""] == Markup()


async def test_texts_do_not_wait_for_a_long_page() -> None:
    is_over = threading.Event()
    page = asyncio.create_task(run_in_page_thread(partial(is_over.wait, WAIT)))
    await asyncio.sleep(0)  # it is sent to the thread
    assert (await format_texts(["**a**"]))["**a**"] == "<p><strong>a</strong></p>\n"
    assert not page.done()
    is_over.set()
    assert await page


async def test_a_page_of_200_ordinary_comments_is_formatted() -> None:
    texts = [f"{number} {PARAGRAPH * 20}"[:2_000] for number in range(200)]
    formatted = await format_texts(texts)
    assert all("<strong>release</strong>" in formatted[text] for text in texts)
    assert not [text for text in texts if NOTICE in formatted[text]]


async def test_above_the_limit_of_a_page_texts_are_plain(rendered_texts) -> None:
    texts = [build_hostile_text(number) for number in range(60)]
    formatted = await format_texts([*texts, "**short**"])
    assert formatted["**short**"] == "<p><strong>short</strong></p>\n"
    plain = [text for text in texts if NOTICE in formatted[text]]
    assert len(plain) == 60 - len(rendered_texts) + 1
    assert plain
    for text in texts:
        html = formatted[text]
        assert "<script" not in html
        assert html.replace("<wbr>", "").count("*a_") >= len(text) // 3 - 20
    assert sum(render_markdown(text).steps for text in rendered_texts) < 1.2 * PAGE_STEPS


async def test_loading_again_formats_more_texts(monkeypatch) -> None:
    monkeypatch.setattr(formatted_texts, "PAGE_STEPS", PAGE_STEPS // 3)
    texts = [build_hostile_text(number) for number in range(12)]
    counts = []
    while not counts or counts[-1]:
        formatted = await format_texts(texts)
        counts.append(sum(NOTICE in html for html in formatted.values()))
    assert counts == sorted(set(counts), reverse=True)
    assert len(counts) > 2


async def test_the_notice_is_in_the_language_of_the_reader(monkeypatch) -> None:
    monkeypatch.setattr(formatted_texts, "PAGE_STEPS", 0)
    token = reader_language.set("de")
    try:
        [html] = [html for text, html in (await format_texts(["**a**"])).items() if text]
    finally:
        reader_language.reset(token)
    assert "**a**" in html
    assert "Unformatiert angezeigt" in html


async def test_a_text_that_is_always_plain_has_no_notice(rendered_texts) -> None:
    text = "<b> word\n" * 3_000
    html = (await format_texts([text]))[text]
    assert html.startswith("<p>&lt;b&gt; word<br>\n")
    assert NOTICE not in html
    assert not rendered_texts


def test_a_cache_keeps_what_was_used_last_within_its_length() -> None:
    cache: BoundedCache[str, str] = BoundedCache(10)
    cache.keep("a", "1", 4)
    cache.keep("b", "2", 4)
    assert cache.find("a") == "1"
    cache.keep("c", "3", 4)
    assert [cache.find(key) for key in "abc"] == ["1", None, "3"]
    cache.keep("c", "4", 6)
    cache.keep("d", "5", 11)
    assert [cache.find(key) for key in "acd"] == ["1", "4", None]
    assert cache.length == 10
    cache.clear()
    assert cache.length == len(cache) == 0
