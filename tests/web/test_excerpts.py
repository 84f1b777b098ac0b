"""The beginnings of texts in Markdown without their formatting."""

import pytest

from web.ui.markdown import MAX_LENGTH, excerpt_markdown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# Plan\n\n**First** _the_ `list`", "Plan First the list"),
        ("Title\n=====\n- [x] one\n- [ ] two\n  3. three", "Title one two three"),
        ("> > # Quoted\n>\n> - twice", "Quoted twice"),
        ('See [the **page**](https://a.example/x_y "T") and ![it](i.png)', "See the page and it"),
        ("<https://a.example/a_b> or a@b.example", "https://a.example/a_b or a@b.example"),
        ("```python\nx = a_b * c\n```\nDone", "x = a_b * c Done"),
        ("one | two\n--- | ---\n1 | 2", "one | two 1 | 2"),
        (r"\*kept\* \[x\](y) snake_case 2 * 3 #4 -5", "*kept* [x](y) snake_case 2 * 3 #4 -5"),
        ("a &lt;b&gt; &amp; <i>c</i>", "a <b> & <i>c</i>"),
        ("", ""),
    ],
)
def test_an_excerpt_has_no_formatting(text: str, shown: str) -> None:
    assert excerpt_markdown(text) == shown


def test_an_excerpt_is_short_and_says_so() -> None:
    assert excerpt_markdown("word " * 100, 9) == "word word…"
    assert excerpt_markdown("word word", 9) == "word word"


@pytest.mark.parametrize(
    "part", ["[", "![", "](", "[a](", "*", "_a", "> ", "- ", "#", "<http://", "`", "\\", "|", " "]
)
def test_hostile_texts_have_short_excerpts(part: str) -> None:
    text = part * (MAX_LENGTH * 5 // len(part))
    assert len(excerpt_markdown(text)) <= 201
    assert len(excerpt_markdown(text, 20_000)) <= 20_001
