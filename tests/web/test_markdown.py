"""Markdown of users and agents as HTML."""

import re

import pytest
from markupsafe import escape

from web.ui.text_display import (
    MAX_LENGTH,
    MAX_NESTING,
    _render_cached,
    render_markdown,
    reveal_lines,
)


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[press me](javascript:alert(1))",
        "[press me](JaVaScRiPt&#58;alert(1))",
        "[press me](data:text/html;base64,PHNjcmlwdD4=)",
        "![pic](javascript:alert(1))",
        "<a href='javascript:alert(1)'>press me</a>",
        '[press me](https://x.example "onmouseover=alert(1)")',
        "<style>body { display: none }</style>",
        '<p style="position: fixed">everything is covered</p>',
        "<iframe src='https://x.example'></iframe>",
        '`"><script>alert(1)</script>`',
        "```<script>\nalert(1)\n```",
        "@lead<script>alert(1)</script>",
        'https://x.example/"onmouseover="alert(1)',
        "<form action=/sign-out method=post><button>Read on</button></form>",
    ],
)
def test_markdown_cannot_run_scripts(attack) -> None:
    html = render_markdown(attack)
    tags = re.findall(r"<[a-z][^>]*>", html)
    assert not [
        tag for tag in tags if re.search(r"^<(script|img|style|iframe|form)|\son|style=", tag)
    ]
    assert not [tag for tag in tags if re.search(r'href="\s*(javascript|data)', tag, re.IGNORECASE)]


def test_markdown_is_formatted() -> None:
    html = render_markdown(
        "Limit **confirmed**: `max = 5`\nand ~~not~~ 4\n\n- one\n- two\n\n> quoted"
    )
    assert "<strong>confirmed</strong>" in html
    assert "<code>max = 5</code><br>" in html
    assert "<s>not</s>" in html
    assert html.count("<li>") == 2
    assert "<blockquote>" in html


def test_tables_are_formatted() -> None:
    assert render_markdown("| a | b |\n|---|---|\n| 1 | 2 |").count("<td>") == 2


def test_mentions_are_marked_but_not_email_addresses() -> None:
    html = render_markdown(
        "@wren and @build-bot, but not a@b.example, `@code` or [x @y](https://x.example)"
    )
    assert re.findall(r'<span class="mention">(.*?)</span>', html) == ["@wren", "@build-bot"]


def test_links_send_no_referrer_and_bare_urls_are_links() -> None:
    html = render_markdown("See https://x.example/a_b?c=1. Or [this](https://y.example).")
    assert '<a href="https://x.example/a_b?c=1" rel="nofollow noopener">' in html
    assert '<a href="https://y.example" rel="nofollow noopener">this</a>' in html
    assert "</a>. Or" in html


def test_an_image_is_shown_as_a_link() -> None:
    html = render_markdown("![the <plan>](https://x.example/plan.png)")
    assert "<img" not in html
    assert (
        '<a href="https://x.example/plan.png" rel="nofollow noopener">the &lt;plan&gt;</a>' in html
    )


def test_headings_do_not_affect_the_page_outline() -> None:
    html = render_markdown("# Loud\n\n### Less loud")
    assert not re.search(r"<h\d", html)
    assert html.count('<p class="prose__h"><strong>') == 2


def test_empty_text_is_empty() -> None:
    assert render_markdown(None) == ""
    assert render_markdown("") == ""


def test_a_long_text_is_shown_unformatted() -> None:
    html = render_markdown("**a** <b>\n\n" + "word " * 4_000)
    assert html.startswith("<p>**a** &lt;b&gt;<br>\n<br>\nword word")


@pytest.mark.parametrize(
    "attack",
    [
        "![" * 10_000,
        "[" * 20_000,
        "[a](" * 5_000,
        "[a]" * 2_001,
        "|a" * 99 + "|\n" + "|-" * 99 + "|\n" + "|a\n" * 5_000,
        "a" + "|a" * 999 + "\n-" + "|-" * 999 + "\n" + "a\n" * 5_000,
        "> |a|b|c\n> -|-|-|-\n" + "> a\n" * 4_500,
    ],
)
def test_expensive_markdown_is_shown_unformatted(attack) -> None:
    assert len(attack) <= MAX_LENGTH
    typed = str(escape(attack.strip()))
    assert render_markdown(attack).replace("<wbr>", "") == f"<p>{typed}</p>\n".replace(
        "\n", "<br>\n", typed.count("\n")
    )


@pytest.mark.parametrize("allowed", ["**a" * 6_666, "~~a" * 6_666, "*a _a " * 3_333])
def test_unclosed_markup_is_not_parsed_deeply(allowed) -> None:
    html, depth, deepest = render_markdown(allowed), 0, 0
    for tag in re.findall(r"</?(?:em|strong|s)>", html):
        depth += -1 if tag.startswith("</") else 1
        deepest = max(deepest, depth)
    assert deepest <= MAX_NESTING


def test_a_wide_table_and_many_links_are_formatted() -> None:
    assert (
        render_markdown("|a" * 20 + "|\n" + "|-" * 20 + "|\n" + "|1" * 20 + "|\n").count("<td>")
        == 20
    )
    assert render_markdown("[a](https://x.example) " * 800).count("<a ") == 800


def test_repeated_text_is_cached() -> None:
    _render_cached.cache_clear()
    assert render_markdown("**once**") == render_markdown("**once**")
    assert _render_cached.cache_info().misses == 1


@pytest.mark.parametrize("letter", ["x", "&", "é"])
@pytest.mark.parametrize("render", [render_markdown, reveal_lines])
def test_long_words_can_be_broken(render, letter: str) -> None:
    shown = render(f"a {letter * 30_000} b")
    assert shown.count("<wbr>") == 1_500
    assert shown.striptags() == f"a {letter * 30_000} b"
    assert "<wbr>" not in render(f"a {letter * 150} b " * 50)


def test_chinese_texts_and_addresses_are_not_broken() -> None:
    """Chinese can be broken anywhere except before some signs."""
    assert "<wbr>" not in render_markdown("准备发布" * 1_000)
    address = f"https://example.com/{'a' * 1_500}"
    assert f'href="{address}"' in render_markdown(address)


def test_hostile_words_are_broken_in_linear_time() -> None:
    for text in ("x" * 999 + " ", "&" * 150 + "<", "版" + "x" * 500, "<" * 500):
        assert render_markdown((text * 1_000)[:100_000])
