"""Full-text search: matches, ranking, access rights, and arbitrary input."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as some
from sqlalchemy import text

from core.clock import now
from core.paging import Paging
from models import Actor, Agent, Base, BoardGroup, Comment, GroupNote, Note, new_id
from services import boards, organizations, search
from services.search import Kind, SearchResult
from tests.support.board_rows import make_agent, make_task
from tests.support.query_plans import explain, refresh_statistics
from tests.support.statement_counter import count_statements

ALL_RESULTS = Paging(limit=200)


def make_comment(task: Any, message: str, **fields: Any) -> Comment:
    defaults = {"id": new_id(), "created_at": now()}
    return Comment(task=task, board_id=task.board_id, message=message, **(defaults | fields))


def make_note(board: Any, content: str, **fields: Any) -> Note:
    at = {"created_at": now(), "updated_at": now()}
    return Note(id=new_id(), board=board, content=content, **(at | fields))


def make_group(organization: Any, name: str) -> BoardGroup:
    at = {"created_at": now(), "updated_at": now()}
    slug = name.lower()
    return BoardGroup(
        id=new_id(), organization_id=organization.id, name=name, slug=slug, description="", **at
    )


def make_group_note(group: BoardGroup, content: str) -> GroupNote:
    at = {"created_at": now(), "updated_at": now()}
    return GroupNote(id=new_id(), group=group, content=content, **at)


async def search_all(
    session: Any, actor: Actor, query_text: str, **how: Any
) -> Sequence[SearchResult]:
    """Return all results of a search by an actor."""
    paging = how.pop("paging", ALL_RESULTS)
    if isinstance(actor, Agent):
        return (await search.search_texts(session, actor, query_text, paging, **how)).items
    member = await organizations.get_or_create_active_membership(session, actor)
    return (await search.search_texts(session, member, query_text, paging, **how)).items


def sorted_kinds(items: Sequence[SearchResult]) -> list[str]:
    return sorted(item.kind for item in items)


async def test_every_kind_of_row_is_found(session, world) -> None:
    task = world.make_task("Paint the heron", description="In grey")
    group = make_group(world.tern, "Birds")
    session.add(group)
    await session.flush()
    world.board.board_group_id = group.id
    world.board.objective = "A heron on every wall"
    session.add_all(
        [
            task,
            make_comment(task, "The heron has a blue eye"),
            make_note(world.board, "Herons are patient"),
            make_group_note(group, "Whoever sees a heron says so"),
        ]
    )
    await session.merge(world.board)
    await session.flush()
    items = await search_all(session, world.alice, "heron")
    assert sorted_kinds(items) == ["board", "comment", "memory", "memory", "task"]
    assert items[0].kind is Kind.TASK  # the only one with the word in its title
    by_kind = {(item.kind, item.board_group_id is None): item for item in items}
    comment = by_kind[Kind.COMMENT, True]
    assert (comment.title, comment.task_id) == ("Paint the heron", task.id)
    note, together = by_kind[Kind.MEMORY, True], by_kind[Kind.MEMORY, False]
    assert (note.title, note.board_id, note.task_id) == ("Launch", world.board.id, None)
    assert (together.title, together.board_id, together.board_group_id) == ("Birds", None, group.id)
    assert by_kind[Kind.BOARD, True].id == world.board.id
    only = await search_all(session, world.alice, "heron", kinds=[Kind.MEMORY, Kind.BOARD])
    assert sorted_kinds(only) == ["board", "memory", "memory"]


async def test_titles_rank_above_texts_and_newer_rows_come_first(session, world) -> None:
    tasks = [
        world.make_task("An old heron"),
        world.make_task("A new heron"),
        world.make_task("Something", description="heron " * 50),
        world.make_task("A heron that meets another heron"),
    ]
    tasks[0].updated_at = tasks[3].updated_at = now() - timedelta(minutes=10)
    session.add_all(tasks)
    titles = [item.title for item in await search_all(session, world.alice, "heron")]
    assert titles == [
        "A heron that meets another heron",
        "A new heron",
        "An old heron",
        "Something",
    ]


@pytest.mark.parametrize(
    ("query_text", "is_found"),
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
async def test_words_match_by_prefix_next_to_any_punctuation(
    session, world, query_text, is_found
) -> None:
    description = (
        "Deploy the server, ask bob@example.com; see api/operations.py, task_id, v1.2, 1.2.3"
    )
    more = "Café “quoted” 東京都 half-hour"
    session.add(world.make_task("A task", description=f"{description} {more}"))
    assert bool(await search_all(session, world.alice, query_text)) is is_found


async def test_a_query_without_words_finds_nothing(session, world) -> None:
    session.add(world.make_task("A task"))
    for query_text in ("", "  ", "'", "&|!", "\\", "<->", ":*", "…"):
        page = await search.search_texts(session, world.alice_member, query_text, Paging(20, 5))
        assert (list(page.items), page.total, page.limit, page.offset) == ([], 0, 20, 5)


async def test_search_finds_only_what_the_actor_may_read(session, world) -> None:
    birds, fish = make_group(world.tern, "Birds"), make_group(world.tern, "Fish")
    theirs = make_group(world.plover, "Others")
    session.add_all([birds, fish, theirs])
    await session.flush()
    for board, group in (
        (world.board, birds),
        (world.garden, fish),
        (world.charlies_board, theirs),
    ):
        board = await session.merge(board)
        board.board_group_id, board.description = group.id, "A heron is here"
        task = make_task(board, "Heron")
        session.add_all([task, make_comment(task, "Heron"), make_note(board, "Heron")])
        session.add(make_group_note(group, "Heron"))
    await session.flush()

    async def boards_of(actor: Actor) -> set[Any]:
        items = await search_all(session, actor, "heron")
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
    main = make_agent("Main", world.board)
    main.board, main.board_id = None, None
    assert await boards_of(main) == set()


async def test_search_is_limited_to_the_active_organization(session, world) -> None:
    session.add_all([world.make_task("Heron"), make_task(world.charlies_board, "Heron")])
    await session.flush()
    page = await search.search_texts(session, world.charlie_member, "heron", ALL_RESULTS)
    assert [item.board_id for item in page.items] == [world.charlies_board.id]


async def test_every_page_has_the_total(session, world) -> None:
    session.add_all([world.make_task(f"Heron {n}") for n in range(7)])
    titles = []
    for offset in (0, 3, 6, 9):
        page = await search.search_texts(session, world.alice_member, "heron", Paging(3, offset))
        assert (page.total, page.limit, page.offset) == (7, 3, offset)
        titles += [item.title for item in page.items]
    assert sorted(titles) == [f"Heron {n}" for n in range(7)]


async def test_a_search_takes_one_statement(session, world) -> None:
    session.add_all([world.make_task(f"Heron {n}") for n in range(30)])
    await session.flush()
    with count_statements(await session.connection()) as statements:
        await search.search_texts(session, world.alice_member, "heron", Paging(20, 100))
        await search.search_texts(session, world.worker, "heron", ALL_RESULTS)
    assert len(statements) == 2


@given(query_text=some.text(alphabet=some.characters(codec="utf-8", exclude_characters="\0")))
@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_no_search_text_causes_an_error(session, world, query_text) -> None:
    await search.search_texts(session, world.alice_member, query_text, Paging(5))


async def test_a_chinese_text_of_any_length_can_be_stored(session, world) -> None:
    first, count = ord("\u4e00"), 20_000
    many = "".join(
        chr(first + n * 7919 % count) + chr(first + n * 31 % count) for n in range(300_000)
    )
    session.add(world.make_task("Long", description=many))
    await session.flush()
    assert [item.title for item in await search_all(session, world.alice, many[:3])] == ["Long"]


async def test_a_text_of_any_length_can_be_stored(session, world) -> None:
    """A tsvector holds at most a megabyte; a text with more different words is still accepted."""
    many = " ".join(f"{n:x}" for n in range(400_000))
    session.add(world.make_task("Long", description=many))
    await session.flush()
    assert [item.title for item in await search_all(session, world.alice, "long")] == ["Long"]


COPY_ROWS = """
    insert into {table} ({bare}) select {names} from {table} one, generate_series(1, 2000) n,
    jsonb_populate_record(null::{table}, to_jsonb(one) || jsonb_build_object(
        'id', gen_random_uuid(), 'slug', gen_random_uuid(), '{column}', 'copy ' || md5(n::text)
    )) as copy
"""


async def test_search_uses_the_full_text_indexes(session, world) -> None:
    group, task = make_group(world.tern, "Birds"), world.make_task("Heron")
    session.add_all([task, make_comment(task, "Heron"), make_note(world.board, "Heron"), group])
    session.add(make_group_note(group, "Heron"))
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
            text(COPY_ROWS.format(table=table, column=column, names=names, bare=bare))
        )
        await refresh_statistics(session, table)
    statement = search.build_search_query(frozenset(), by_agent=False).build_statement()
    words = {"tsquery": "'her':*", "pattern": "her", "page_limit": 20, "page_offset": 0}
    parameters = {**boards.access_parameters(world.alice_member), **words}
    plan = await explain(session, statement.params(parameters))
    for table in ("tasks", "task_comments", "board_memory", "board_group_memory", "boards"):
        assert f"ix_{table}_words" in plan, plan
