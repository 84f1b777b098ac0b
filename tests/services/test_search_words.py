"""The words of texts and searches, and the snippets that show where they match."""

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as some
from sqlalchemy import select, text

from core.accents import remove_accents
from core.db.full_text import (
    MAX_WORDS,
    SEPARATORS,
    TextPart,
    build_tsquery,
    highlight_matches,
    split_words,
)
from core.paging import PagePlace, Paging
from services import agents, pickers, search, skills, tags, tasks
from services.agents import AgentFilters
from services.pickers import PickerKind
from services.search.sources import AGENTS
from services.skills import SkillFilter
from services.tasks import BoardFilters, BoardOrder
from tests.services.test_search import search_all
from tests.support.board_rows import make_agent, make_tag
from tests.support.query_plans import explain
from tests.support.skill_rows import make_skill


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


ACCENTS = {
    "jose": "José",
    "JOSÉ": "jose",
    "strasse": "Straße",
    "Straße": "STRASSE",
    "muller": "Müller",
    "istanbul": "İstanbul",
    "\u0131spanak": "Ispanak",
    "oeuvre": "œuvre",
    "lodz": "Łódź",
    "nguyen": "Nguyễn",
    "\u03b1\u03b8\u03b7\u03bd\u03b1": "\u0391\u03b8\u03ae\u03bd\u03b1",
    "\u0435\u0449\u0451": "\u0435\u0449\u0435",
    "jose\u0301": "josé",
}


@pytest.mark.parametrize(("typed", "written"), ACCENTS.items())
async def test_a_word_is_found_however_its_accents_are_written(
    session, world, typed, written
) -> None:
    session.add(world.make_task("A task", description=f"Ask {written}, then go."))
    [item] = await search_all(session, world.alice, typed)
    assert [part.text for part in item.snippet if part.hit] == [written]


@pytest.mark.parametrize(("typed", "written"), [("\u0438", "\u0439"), ("か", "が"), ("가", "각")])
async def test_other_letters_stay_different(session, world, typed, written) -> None:
    session.add(world.make_task(f"x{written}x 准备"))
    assert await search_all(session, world.alice, f"x{typed}x") == []
    assert len(await search_all(session, world.alice, f"x{written}x")) == 1
    assert len(await search_all(session, world.alice, "准备")) == 1


async def test_the_database_removes_the_same_accents(session) -> None:
    codes = (*range(1, 0xD800), *range(0xE000, 0x1_0000))
    words = [f"a{chr(code)}\u0301" for code in codes]
    query = text("select without_accents(word) from unnest(cast(:words as text[])) rows (word)")
    in_database = (await session.scalars(query, {"words": words})).all()
    assert [
        one for one in zip(words, in_database, strict=True) if remove_accents(one[0]) != one[1]
    ] == []


async def test_only_words_with_accents_are_stored_twice(session) -> None:
    words = text("select array(select lexeme from unnest(words_of(null, :text, null)) order by 1)")
    stored = await session.scalar(words, {"text": "Ein José, zwei Straßen"})
    assert sorted(stored) == ["ein", "jose", "josé", "strassen", "straßen", "zwei"]
    length = text("select length(words_of(:text, :text, null))")
    assert await session.scalar(length, {"text": "ỗỗỗỗ " * 20_000}) == 2


async def test_a_snippet_shows_a_match_after_letters_that_become_two(session, world) -> None:
    session.add(world.make_task("A task", description="Maß und Größe. " * 200 + "Der José ruht."))
    [item] = await search_all(session, world.alice, "jose")
    assert [part.text for part in item.snippet if part.hit] == ["José"]


async def test_filters_and_pickers_ignore_accents(session, world) -> None:
    task, member = world.make_task("Müll hinaus"), world.alice_member
    skill = make_skill(world.tern, description="Schreibt über Straßen.")
    session.add_all([make_agent("José", world.board), make_tag(world.tern, "Café"), task, skill])
    await session.flush()
    filters = BoardFilters(q="mull")
    columns = await tasks.list_board_columns(session, world.board, filters, BoardOrder())
    assert sum(column.total for column in columns) == 1
    [tag] = await tags.find_tags(session, member, "CAFE")
    assert tag.tag.name == "Café"
    found = await agents.list_agent_page(session, member, 9, PagePlace(), AgentFilters(["jose"]))
    assert [card.agent.name for card in found.page.items] == ["José"]
    place = await pickers.get_picker_place(session, member, PickerKind.AGENTS)
    options = await pickers.list_options(session, place, PickerKind.AGENTS, "jose", Paging())
    assert [option.name for option in options.items] == ["José"]
    for typed in ("uber strasse", "ÜBER"):
        found_skills = await skills.list_skills(session, member, SkillFilter(typed))
        assert [card.skill.name for card in found_skills.items] == ["Report writer"]


PARTS = {
    **{"ass": "Maß", "assk": "Maßkrug", "sen": "Straßen", "c\u00e6s": "caesar"},
    **{"cafe": "CAFE\u0301", "\u0439": "\u0438\u0306", "\u0434\u041e": "\u0414\u043e"},
    **{"\u03bf\u03c6\u03bf\u03c3": "\u03a3\u039f\u03a6\u038c\u03a3"},
    **{"%_/\\": "50%_/\\", "a.*": "a.*b", "[(": "[("},
}


@pytest.mark.parametrize(("typed", "written"), [*ACCENTS.items(), *PARTS.items()])
async def test_filters_find_parts_of_words(session, world, typed, written) -> None:
    session.add_all([world.make_task(f"x{written}x"), world.make_task("y", description="éééb")])
    await session.flush()
    filters = BoardFilters(q=typed)
    columns = await tasks.list_board_columns(session, world.board, filters, BoardOrder())
    assert sum(column.total for column in columns) == 1


async def test_filters_do_not_remove_the_accents_of_long_texts(session, world) -> None:
    """That takes 0.3 s for 100,000 letters with accents."""
    session.add(world.make_task("Müll", description="Ein José, zwei Straßen"))
    session.add_all(world.make_custom_field(field_key="place", default_value="São Tomé"))
    await session.flush()
    await session.execute(text("set local track_functions = 'all'"))
    for filters in (BoardFilters(q="mull jose"), BoardFilters(custom_field=("place", "tome"))):
        columns = await tasks.list_board_columns(session, world.board, filters, BoardOrder())
        assert sum(column.total for column in columns) == 1
    called = text("select count(*) from pg_stat_xact_user_functions where funcname like '%accents'")
    assert await session.scalar(called) == 0


async def test_agents_are_found_by_an_index(session) -> None:
    query = select(AGENTS.id).where(AGENTS.words.bool_op("@@")(build_tsquery(["heron"])))
    assert "ix_agents_words" in await explain(session, query)


DECOMPOSED = {
    "jose": "jose\u0301",
    "josé": "JOSE\u0301",
    "nguyen": "Nguye\u0302\u0303n",
    "\u0439\u043e\u0434": "\u0438\u0306\u043e\u0434",
    "stras": "Straße",
}


@pytest.mark.parametrize(("typed", "written"), DECOMPOSED.items())
async def test_a_snippet_shows_a_match_after_many_marks(session, world, typed, written) -> None:
    before = "e\u0301\u0302\u0303\u0304 \u0438\u0306 ß " * 300
    session.add(world.make_task("A task", description=f"{before} {written} {before}"))
    [item] = await search_all(session, world.alice, typed)
    assert [part.text for part in item.snippet if part.hit] == [written]
