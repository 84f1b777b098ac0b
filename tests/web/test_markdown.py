"""What people and agents write, as HTML."""

import re

import pytest
from markupsafe import escape

from web.markdown import DEEPEST, LONGEST, _rendered, to_html


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
def test_nothing_that_is_written_can_act_on_the_page(attack) -> None:
    html = to_html(attack)
    tags = re.findall(r"<[a-z][^>]*>", html)
    assert not [
        tag for tag in tags if re.search(r"^<(script|img|style|iframe|form)|\son|style=", tag)
    ]
    assert not [tag for tag in tags if re.search(r'href="\s*(javascript|data)', tag, re.IGNORECASE)]


def test_markdown_is_shown_as_such() -> None:
    html = to_html("Limit **confirmed**: `max = 5`\nand ~~not~~ 4\n\n- one\n- two\n\n> quoted")
    assert "<strong>confirmed</strong>" in html
    assert "<code>max = 5</code><br>" in html
    assert "<s>not</s>" in html
    assert html.count("<li>") == 2
    assert "<blockquote>" in html


def test_a_table_is_a_table() -> None:
    assert to_html("| a | b |\n|---|---|\n| 1 | 2 |").count("<td>") == 2


def test_mentions_are_marked_and_addresses_of_mail_are_not() -> None:
    html = to_html(
        "@wren and @build-bot, but not a@b.example, `@code` or [x @y](https://x.example)"
    )
    assert re.findall(r'<span class="mention">(.*?)</span>', html) == ["@wren", "@build-bot"]


def test_links_tell_strangers_nothing_and_bare_addresses_are_links() -> None:
    html = to_html("See https://x.example/a_b?c=1. Or [this](https://y.example).")
    assert '<a href="https://x.example/a_b?c=1" rel="nofollow noopener">' in html
    assert '<a href="https://y.example" rel="nofollow noopener">this</a>' in html
    assert "</a>. Or" in html


def test_a_picture_is_a_link_so_that_reading_tells_nobody() -> None:
    html = to_html("![the <plan>](https://x.example/plan.png)")
    assert "<img" not in html
    assert (
        '<a href="https://x.example/plan.png" rel="nofollow noopener">the &lt;plan&gt;</a>' in html
    )


def test_headings_stay_out_of_the_headings_of_the_page() -> None:
    html = to_html("# Loud\n\n### Less loud")
    assert not re.search(r"<h\d", html)
    assert html.count('<p class="prose__h"><strong>') == 2


def test_nothing_is_nothing() -> None:
    assert to_html(None) == ""
    assert to_html("") == ""


def test_a_long_text_is_shown_as_it_was_typed() -> None:
    html = to_html("**a** <b>\n\n" + "word " * 4_000)
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
def test_what_would_take_long_to_understand_is_shown_as_it_was_typed(attack) -> None:
    assert len(attack) <= LONGEST
    typed = str(escape(attack.strip()))
    assert to_html(attack) == f"<p>{typed}</p>\n".replace("\n", "<br>\n", typed.count("\n"))


@pytest.mark.parametrize("allowed", ["**a" * 6_666, "~~a" * 6_666, "*a _a " * 3_333])
def test_what_is_opened_and_never_closed_is_not_looked_into_deeply(allowed) -> None:
    html, depth, deepest = to_html(allowed), 0, 0
    for tag in re.findall(r"</?(?:em|strong|s)>", html):
        depth += -1 if tag.startswith("</") else 1
        deepest = max(deepest, depth)
    assert deepest <= DEEPEST


def test_a_wide_table_and_many_links_are_still_markdown() -> None:
    assert to_html("|a" * 20 + "|\n" + "|-" * 20 + "|\n" + "|1" * 20 + "|\n").count("<td>") == 20
    assert to_html("[a](https://x.example) " * 800).count("<a ") == 800


def test_a_text_that_is_shown_again_is_not_understood_again() -> None:
    _rendered.cache_clear()
    assert to_html("**once**") == to_html("**once**")
    assert _rendered.cache_info().misses == 1
