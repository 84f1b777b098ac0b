"""Searching: what is found, in which order, by whom, and that nothing that is typed can fail."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as some
from sqlalchemy import event, text
from sqlalchemy.dialects.postgresql import asyncpg

from kit.clock import now
from kit.paging import Paging
from kit.words import MOST_WORDS, SIGNS, Part, marked, words
from models import Actor, Agent, Base, BoardGroup, Comment, GroupNote, Note, new_id
from services import boards, organizations, search
from services.search import Found, Kind
from tests.world import a_task, an_agent

ALL = Paging(limit=200)


def a_comment(task: Any, message: str, **fields: Any) -> Comment:
    defaults = {"id": new_id(), "created_at": now()}
    return Comment(task=task, board_id=task.board_id, message=message, **(defaults | fields))


def a_note(board: Any, content: str, **fields: Any) -> Note:
    at = {"created_at": now(), "updated_at": now()}
    return Note(id=new_id(), board=board, content=content, **(at | fields))


def a_group(organization: Any, name: str) -> BoardGroup:
    at = {"created_at": now(), "updated_at": now()}
    slug = name.lower()
    return BoardGroup(
        id=new_id(), organization_id=organization.id, name=name, slug=slug, description="", **at
    )


def a_group_note(group: BoardGroup, content: str) -> GroupNote:
    at = {"created_at": now(), "updated_at": now()}
    return GroupNote(id=new_id(), group=group, content=content, **at)


async def found(session: Any, actor: Actor, typed: str, **how: Any) -> Sequence[Found]:
    """Return all that somebody finds."""
    paging = how.pop("paging", ALL)
    if isinstance(actor, Agent):
        return (await search.for_agent(session, actor, typed, paging, **how)).items
    member = await organizations.active(session, actor)
    return (await search.for_member(session, member, typed, paging, **how)).items


def kinds(items: Sequence[Found]) -> list[str]:
    return sorted(item.kind for item in items)


async def test_every_kind_of_thing_is_found(session, world) -> None:
    task = world.task("Paint the heron", description="In grey")
    group = a_group(world.tern, "Birds")
    session.add(group)
    await session.flush()
    world.board.board_group_id = group.id
    world.board.objective = "A heron on every wall"
    session.add_all(
        [
            task,
            a_comment(task, "The heron has a blue eye"),
            a_note(world.board, "Herons are patient"),
            a_group_note(group, "Whoever sees a heron says so"),
        ]
    )
    await session.merge(world.board)
    await session.flush()
    items = await found(session, world.alice, "heron")
    assert kinds(items) == ["board", "comment", "memory", "memory", "task"]
    assert items[0].kind is Kind.TASK  # the only one with the word in its title
    by_kind = {(item.kind, item.board_group_id is None): item for item in items}
    comment = by_kind[Kind.COMMENT, True]
    assert (comment.title, comment.task_id) == ("Paint the heron", task.id)
    note, together = by_kind[Kind.MEMORY, True], by_kind[Kind.MEMORY, False]
    assert (note.title, note.board_id, note.task_id) == ("Launch", world.board.id, None)
    assert (together.title, together.board_id, together.board_group_id) == ("Birds", None, group.id)
    assert by_kind[Kind.BOARD, True].id == world.board.id
    only = await found(session, world.alice, "heron", kinds=[Kind.MEMORY, Kind.BOARD])
    assert kinds(only) == ["board", "memory", "memory"]


async def test_a_title_counts_for_more_than_a_text_and_the_newest_comes_first(
    session, world
) -> None:
    tasks = [
        world.task("An old heron"),
        world.task("A new heron"),
        world.task("Something", description="heron " * 50),
        world.task("A heron that meets another heron"),
    ]
    tasks[0].updated_at = tasks[3].updated_at = now() - timedelta(minutes=10)
    session.add_all(tasks)
    titles = [item.title for item in await found(session, world.alice, "heron")]
    assert titles == [
        "A heron that meets another heron",
        "A new heron",
        "An old heron",
        "Something",
    ]


@pytest.mark.parametrize(
    ("typed", "is_found"),
    [
        ("deploy", True),
        ("DEPL", True),
        ("ploy", False),
        ("server deploy", True),
        ("deploy heron", False),
        ("bob@example.com", True),
        ("example", True),
        ("operations.py", True),
        ("operations", True),
        ("task_id", True),
        ("1.2", True),
        ("café", True),
        ("CAFÉ", True),
        ("東京", True),
        ("quoted", True),
        ("half-hour", True),
        ("hour", True),
        ("'; drop table tasks; --", False),
        ("deploy & !server | (", True),
        ("deploy:* <-> \\", True),
    ],
)
async def test_words_are_found_by_their_beginning_whatever_stands_around_them(
    session, world, typed, is_found
) -> None:
    said = "Deploy the server, ask bob@example.com; see api/operations.py, task_id, v1.2, 1.2.3"
    more = "Café “quoted” 東京都 half-hour"
    session.add(world.task("A task", description=f"{said} {more}"))
    assert bool(await found(session, world.alice, typed)) is is_found


async def test_nothing_is_found_without_a_word(session, world) -> None:
    session.add(world.task("A task"))
    for typed in ("", "  ", "'", "&|!", "\\", "<->", ":*", "…"):
        page = await search.for_member(session, world.alices, typed, Paging(20, 5))
        assert (list(page.items), page.total, page.limit, page.offset) == ([], 0, 20, 5)


async def test_nobody_finds_what_they_may_not_read(session, world) -> None:
    birds, fish = a_group(world.tern, "Birds"), a_group(world.tern, "Fish")
    theirs = a_group(world.plover, "Others")
    session.add_all([birds, fish, theirs])
    await session.flush()
    for board, group in (
        (world.board, birds),
        (world.garden, fish),
        (world.charlies_board, theirs),
    ):
        board = await session.merge(board)
        board.board_group_id, board.description = group.id, "A heron is here"
        task = a_task(board, "Heron")
        session.add_all([task, a_comment(task, "Heron"), a_note(board, "Heron")])
        session.add(a_group_note(group, "Heron"))
    await session.flush()

    async def boards_of(actor: Actor) -> set[Any]:
        items = await found(session, actor, "heron")
        return {item.board_id or item.board_group_id for item in items}

    launch, garden = {world.board.id, birds.id}, {world.garden.id, fish.id}
    plover = {world.charlies_board.id, theirs.id}
    assert await boards_of(world.alice) == launch | garden
    assert await boards_of(world.bob) == await boards_of(world.rita) == launch
    assert await boards_of(world.dana) == set()
    assert await boards_of(world.charlie) == plover
    assert await boards_of(world.worker) == await boards_of(world.lead) == launch
    assert await boards_of(world.gardener) == garden
    assert await boards_of(world.charlies_worker) == plover
    main = an_agent("Main", world.board)
    main.board, main.board_id = None, None
    assert await boards_of(main) == set()


async def test_a_member_of_two_organizations_searches_the_active_one(session, world) -> None:
    session.add_all([world.task("Heron"), a_task(world.charlies_board, "Heron")])
    await session.flush()
    page = await search.for_member(session, world.charlies, "heron", ALL)
    assert [item.board_id for item in page.items] == [world.charlies_board.id]


async def test_a_page_tells_the_total_wherever_it_is_cut(session, world) -> None:
    session.add_all([world.task(f"Heron {n}") for n in range(7)])
    seen = []
    for offset in (0, 3, 6, 9):
        page = await search.for_member(session, world.alices, "heron", Paging(3, offset))
        assert (page.total, page.limit, page.offset) == (7, 3, offset)
        seen += [item.title for item in page.items]
    assert sorted(seen) == [f"Heron {n}" for n in range(7)]


async def test_a_search_is_one_statement(session, world) -> None:
    session.add_all([world.task(f"Heron {n}") for n in range(30)])
    await session.flush()
    connection = (await session.connection()).sync_connection
    sent: list[str] = []

    def listen(*told: Any) -> None:
        sent.append(told[2])

    event.listen(connection, "before_cursor_execute", listen)
    await search.for_member(session, world.alices, "heron", Paging(20, 100))
    await search.for_agent(session, world.worker, "heron", ALL)
    event.remove(connection, "before_cursor_execute", listen)
    assert len(sent) == 2


async def test_the_snippet_shows_the_hit_and_its_surroundings_in_one_line(session, world) -> None:
    long = (
        "Some words before it. " * 40 + "Then\na <b>heron</b>\tcomes." + " And more after it." * 40
    )
    session.add(world.task("A task", description=long))
    [item] = await found(session, world.alice, "her")
    shown = "".join(part.text for part in item.snippet)
    assert [part.text for part in item.snippet if part.hit] == ["heron"]
    assert "Then a <b>heron</b> comes. And more" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert "\n" not in shown
    assert len(shown) <= search.LONGEST + 2
    assert list(item.title_parts) == [Part("A task", False)]


async def test_a_snippet_without_a_hit_is_the_beginning_of_the_text(session, world) -> None:
    session.add_all([world.task("Heron", description="It is grey."), world.task("Heron as well")])
    first, other = sorted(await found(session, world.alice, "heron"), key=lambda one: one.title)
    assert list(first.snippet) == [Part("It is grey.", False)]
    assert list(other.snippet) == []
    assert list(other.title_parts) == [Part("Heron", True), Part(" as well", False)]


def test_hits_are_words_that_begin_so_and_no_others() -> None:
    text = "Art, restart; artist's ART_work in smart/art.py"
    assert [part.text for part in marked(text, ["art"]) if part.hit] == [
        "Art",
        "artist",
        "ART",
        "art",
    ]
    assert marked("", ["art"]) == []
    assert marked("art", []) == [Part("art", False)]


@given(some.text(), some.lists(some.text(min_size=1), max_size=5))
def test_the_parts_of_a_text_are_the_text(told: str, typed: list[str]) -> None:
    assert "".join(part.text for part in marked(told, words(" ".join(typed)))) == told


@given(typed=some.text(alphabet=some.characters(codec="utf-8", exclude_characters="\0")))
@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_whatever_is_typed_is_no_error(session, world, typed) -> None:
    await search.for_member(session, world.alices, typed, Paging(5))


@given(word=some.text(alphabet="ab1é'&|!<>():*\\ -_.\t%$", min_size=1, max_size=12))
@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_what_is_typed_is_found_where_it_stands(session, world, word) -> None:
    """The words that are looked for are cut as those of the texts are."""
    query = text("select words_of(null, :said, null) @@ to_tsquery('simple', :asked)")
    wanted = words(word)
    if wanted:
        asked = " & ".join(f"'{one}':*" for one in wanted)
        assert await session.scalar(query, {"said": f"x {word} y", "asked": asked})


async def test_every_sign_parts_words_in_the_database_too(session) -> None:
    query = text("select length(words_of(null, :said, null))")
    for sign in SIGNS:
        assert await session.scalar(query, {"said": f"one{sign}two"}) == 2, sign


def test_only_so_many_words_are_looked_for() -> None:
    assert len(words("a " * 500)) == MOST_WORDS


async def test_a_text_of_any_length_can_be_stored(session, world) -> None:
    """A tsvector takes a megabyte; a text with more different words must not be refused for it."""
    many = " ".join(f"{n:x}" for n in range(400_000))
    session.add(world.task("Long", description=many))
    await session.flush()
    assert [item.title for item in await found(session, world.alice, "long")] == ["Long"]


COPIES = """
    insert into {table} ({bare}) select {names} from {table} one, generate_series(1, 2000) n,
    jsonb_populate_record(null::{table}, to_jsonb(one) || jsonb_build_object(
        'id', gen_random_uuid(), 'slug', gen_random_uuid(), '{column}', 'copy ' || md5(n::text)
    )) as copy
"""


async def test_the_words_are_looked_up_in_their_indexes(session, world) -> None:
    group, task = a_group(world.tern, "Birds"), world.task("Heron")
    session.add_all([task, a_comment(task, "Heron"), a_note(world.board, "Heron"), group])
    session.add(a_group_note(group, "Heron"))
    await session.flush()
    for table, column in (
        ("tasks", "title"),
        ("task_comments", "message"),
        ("board_memory", "content"),
        ("board_group_memory", "content"),
        ("boards", "name"),
    ):
        columns = Base.metadata.tables[table].columns
        given = [one.name for one in columns if one.computed is None]
        bare, names = ", ".join(given), ", ".join(f"copy.{name}" for name in given)
        await session.execute(
            text(COPIES.format(table=table, column=column, names=names, bare=bare))
        )
        await well_known(session, table)
    plan = await plan_of(
        session, search.found_in(boards.readable(world.alice, world.tern.id), ["her"], Paging(20))
    )
    for table in ("tasks", "task_comments", "board_memory", "board_group_memory", "boards"):
        assert f"ix_{table}_words" in plan, plan


async def well_known(session: Any, table: str) -> None:
    """Let PostgreSQL know a table as if it had been there for a while."""
    await session.execute(text(f"select gin_clean_pending_list('ix_{table}_words')"))
    await session.execute(text(f"analyze {table}"))


async def plan_of(session: Any, query: Any) -> str:
    """Return how PostgreSQL means to answer a query, where it cannot just read all there is."""
    await session.execute(text("set local enable_seqscan = off"))
    sql = query.compile(dialect=asyncpg.dialect(), compile_kwargs={"literal_binds": True})
    lines = await (await session.connection()).exec_driver_sql(f"explain {sql}")
    return "\n".join(lines.scalars())
