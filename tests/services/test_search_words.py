"""The words of texts and searches, and the snippets that show where they match."""

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as some
from sqlalchemy import text

from core.db.full_text import MAX_WORDS, SEPARATORS, TextPart, highlight_matches, split_words
from services import search
from tests.services.test_search import search_all


async def test_the_snippet_shows_the_match_with_its_context_in_one_line(session, world) -> None:
    long = (
        "Some words before it. " * 40 + "Then\na <b>heron</b>\tcomes." + " And more after it." * 40
    )
    session.add(world.make_task("A task", description=long))
    [item] = await search_all(session, world.alice, "her")
    shown = "".join(part.text for part in item.snippet)
    assert [part.text for part in item.snippet if part.hit] == ["heron"]
    assert "Then a <b>heron</b> comes. And more" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert "\n" not in shown
    assert len(shown) <= search.SNIPPET_LENGTH + 2
    assert list(item.title_parts) == [TextPart("A task", False)]


async def test_a_snippet_without_a_match_is_the_start_of_the_text(session, world) -> None:
    session.add_all(
        [world.make_task("Heron", description="It is grey."), world.make_task("Heron as well")]
    )
    first, other = sorted(
        await search_all(session, world.alice, "heron"), key=lambda one: one.title
    )
    assert list(first.snippet) == [TextPart("It is grey.", False)]
    assert list(other.snippet) == []
    assert list(other.title_parts) == [TextPart("Heron", True), TextPart(" as well", False)]


def test_only_words_with_the_prefix_are_highlighted() -> None:
    text = "Art, restart; artist's ART_work in smart/art.py"
    assert [part.text for part in highlight_matches(text, ["art"]) if part.hit] == [
        "Art",
        "artist",
        "ART",
        "art",
    ]
    assert highlight_matches("", ["art"]) == []
    assert highlight_matches("art", []) == [TextPart("art", False)]


@given(some.text(), some.lists(some.text(min_size=1), max_size=5))
def test_highlighted_parts_add_up_to_the_text(source: str, query_text: list[str]) -> None:
    assert (
        "".join(part.text for part in highlight_matches(source, split_words(" ".join(query_text))))
        == source
    )


@given(word=some.text(alphabet="ab1é'&|!<>():*\\ -_.\t%$", min_size=1, max_size=12))
@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_every_word_is_found_in_a_text_that_contains_it(session, world, word) -> None:
    """Search words are split in the same way as the words of texts."""
    query = text("select words_of(null, :text, null) @@ to_tsquery('simple', :tsquery)")
    terms = split_words(word)
    if terms:
        tsquery = " & ".join(f"'{one}':*" for one in terms)
        assert await session.scalar(query, {"text": f"x {word} y", "tsquery": tsquery})


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("发布", True),
        ("准备发布", True),
        ("布", True),
        ("v2", True),
        ("v2版", True),
        ("版本 发布", True),
        ("リリース", True),
        ("布发", False),
        ("发版", False),
        ("a版本", False),
    ],
)
async def test_chinese_and_japanese_words_are_found_inside_of_phrases(
    session, world, query: str, is_found: bool
) -> None:
    session.add(
        world.make_task("Weekly", description="请准备发布v2版本\uff0cリリース情報也要更新\u3002")
    )
    await session.flush()
    found = await search_all(session, world.alice, query)
    assert [item.title for item in found] == (["Weekly"] if is_found else [])
    for item in found:
        hits = "".join(part.text for part in item.snippet if part.hit)
        assert split_words(query)[0] in hits


async def test_every_separator_splits_words_in_the_database_too(session) -> None:
    query = text("select length(words_of(null, :text, null))")
    for sign in SEPARATORS:
        assert await session.scalar(query, {"text": f"one{sign}two"}) == 2, sign


def test_the_number_of_search_words_is_limited() -> None:
    assert len(split_words("a " * 500)) == MAX_WORDS
