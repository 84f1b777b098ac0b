"""Markdown of users and agents as HTML."""

import re
from pathlib import Path

import pytest
from markdown_it.parser_block import ParserBlock
from markdown_it.parser_inline import ParserInline
from markupsafe import Markup, escape

from tests.support.cpu_time import limit_cpu
from tests.support.tiers import repetition
from web.ui import markdown
from web.ui.markdown import MAX_LENGTH, MAX_NESTING, MAX_STEPS, render_markdown
from web.ui.text_display import reveal_lines

ROOT = Path(__file__).parents[2]


def render(text: str) -> Markup:
    return render_markdown(text).html


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
    html = render(attack)
    tags = re.findall(r"<[a-z][^>]*>", html)
    assert not [
        tag for tag in tags if re.search(r"^<(script|img|style|iframe|form)|\son|style=", tag)
    ]
    assert not [tag for tag in tags if re.search(r'href="\s*(javascript|data)', tag, re.IGNORECASE)]


def test_markdown_is_formatted() -> None:
    html = render("Limit **confirmed**: `max = 5`\nand ~~not~~ 4\n\n- one\n- two\n\n> quoted")
    assert "<strong>confirmed</strong>" in html
    assert "<code>max = 5</code><br>" in html
    assert "<s>not</s>" in html
    assert html.count("<li>") == 2
    assert "<blockquote>" in html


def test_tables_are_formatted() -> None:
    assert render("| a | b |\n|---|---|\n| 1 | 2 |").count("<td>") == 2


def test_mentions_are_marked_but_not_email_addresses() -> None:
    html = render("@wren and @build-bot, but not a@b.example, `@code` or [x @y](https://x.example)")
    assert re.findall(r'<span class="mention">(.*?)</span>', html) == ["@wren", "@build-bot"]


def test_links_send_no_referrer_and_bare_urls_are_links() -> None:
    html = render("See https://x.example/a_b?c=1. Or [this](https://y.example).")
    assert '<a href="https://x.example/a_b?c=1" rel="nofollow noopener">' in html
    assert '<a href="https://y.example" rel="nofollow noopener">this</a>' in html
    assert "</a>. Or" in html


def test_an_image_is_shown_as_a_link() -> None:
    html = render("![the <plan>](https://x.example/plan.png)")
    assert "<img" not in html
    assert (
        '<a href="https://x.example/plan.png" rel="nofollow noopener">the &lt;plan&gt;</a>' in html
    )


def test_headings_do_not_affect_the_page_outline() -> None:
    html = render("# Loud\n\n### Less loud")
    assert not re.search(r"<h\d", html)
    assert html.count('<p class="prose__h"><strong>') == 2


def test_a_long_text_is_shown_unformatted() -> None:
    html = render("**a** <b>\n\n" + "word " * 4_000)
    assert html.startswith("<p>**a** &lt;b&gt;<br>\n<br>\nword word")


@pytest.mark.parametrize(
    "attack",
    [
        "![" * 10_000,
        "[" * 20_000,
        "[a](" * 5_000,
        "|a" * 99 + "|\n" + "|-" * 99 + "|\n" + "|a\n" * 5_000,
        "a" + "|a" * 999 + "\n-" + "|-" * 999 + "\n" + "a\n" * 5_000,
        "> |a|b|c\n> -|-|-|-\n" + "> a\n" * 4_500,
        "(\n> ~~~\n" * 2_000,
        "(\n> ~~~\n" * 300 + ">\n" * 8_000,
        "> " * 18 + "a\n" + "a\n" * 9_000,
        "~~](![" * 3_000,
        "> " * 30 + "the end",
        "".join(f"{'  ' * level}- {level}\n" for level in range(12)),
    ],
)
def test_expensive_markdown_is_shown_unformatted(attack) -> None:
    assert len(attack) <= MAX_LENGTH
    typed = str(escape(attack.strip()))
    assert render(attack).replace("<wbr>", "") == f"<p>{typed}</p>\n".replace(
        "\n", "<br>\n", typed.count("\n")
    )


@pytest.mark.parametrize("allowed", ["**a" * 6_666, "~~a" * 6_666, "*a _a " * 3_333])
def test_unclosed_markup_is_not_parsed_deeply(allowed) -> None:
    html, depth, deepest = render(allowed), 0, 0
    for tag in re.findall(r"</?(?:em|strong|s)>", html):
        depth += -1 if tag.startswith("</") else 1
        deepest = max(deepest, depth)
    assert deepest <= MAX_NESTING


def test_a_wide_table_and_many_links_are_formatted() -> None:
    assert render("|a" * 20 + "|\n" + "|-" * 20 + "|\n" + "|1" * 20 + "|\n").count("<td>") == 20
    assert render("[a](https://x.example) " * 800).count("<a ") == 800


@pytest.mark.parametrize("letter", ["x", "&", "é"])
@pytest.mark.parametrize("show", [render, reveal_lines])
def test_long_words_can_be_broken(show, letter: str) -> None:
    shown = show(f"a {letter * 30_000} b")
    assert shown.count("<wbr>") == 1_500
    assert shown.striptags() == f"a {letter * 30_000} b"
    assert "<wbr>" not in show(f"a {letter * 150} b " * 50)


def test_chinese_texts_and_addresses_are_not_broken() -> None:
    """Chinese can be broken anywhere except before some signs."""
    assert "<wbr>" not in render("准备发布" * 1_000)
    address = f"https://example.com/{'a' * 1_500}"
    assert f'href="{address}"' in render(address)


def test_hostile_words_are_broken_in_linear_time() -> None:
    for text in ("x" * 999 + " ", "&" * 150 + "<", "版" + "x" * 500, "<" * 500):
        assert render((text * 1_000)[:100_000])


@pytest.mark.parametrize(
    "attack",
    [
        *("*a_", "[a](b 'c", "> a\n", "a|b\n-|-\nc|d\n\n"),
        *(
            pytest.param(attack, marks=repetition)
            for attack in (
                *("**_*", "_*a*_", "*_", "_a\n\n", "~~a_", "`*`_"),
                *("- a\n", "*\n", "[a]: b '\n", "``a", "- - - a\n", "<a@b.c>"),
            )
        ),
    ],
)
def test_the_steps_for_a_text_are_limited(attack: str) -> None:
    text = attack * (MAX_LENGTH // len(attack))
    with limit_cpu():
        rendered = render_markdown(text)
    assert 0 < rendered.steps <= MAX_STEPS + MAX_LENGTH  # a quote is counted with all its lines
    assert "<script" not in render_markdown("<script>" + text[8:]).html


def test_ordinary_texts_are_formatted_as_without_a_limit(monkeypatch) -> None:
    pages = [page.read_text() for page in (ROOT / "docs").rglob("*.md")]
    texts = [page[start : start + 2_000] for page in pages for start in range(0, len(page), 2_000)]
    texts += [page[:MAX_LENGTH] for page in pages]
    limited = [markdown._markdown.render(text, {markdown.STEPS: 0}) for text in texts]
    monkeypatch.setattr(markdown, "_BlockParser", ParserBlock)
    monkeypatch.setattr(markdown, "_InlineParser", ParserInline)
    monkeypatch.setattr(markdown, "_count_steps", lambda *_: None)
    assert limited == list(map(markdown._build_parser().render, texts))


def test_an_ordinary_text_needs_a_fraction_of_the_steps() -> None:
    longest = max((ROOT / "docs").rglob("*.md"), key=lambda page: page.stat().st_size)
    assert render_markdown(longest.read_text()[:MAX_LENGTH]).steps < MAX_STEPS / 4
