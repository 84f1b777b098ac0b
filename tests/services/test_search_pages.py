"""The search of pages, and the suggestions of the palette and of text boxes."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from core.clock import now
from core.db.full_text import TextPart
from core.errors import Forbidden, NotFound
from core.paging import Paging
from models import Member, Status
from services import search
from services.messages import find_mention, list_mentioned_agents
from services.search import MentionKind, ResultKind, SearchFilters, queries
from tests.services.test_search import make_comment, make_group, make_group_note, make_note
from tests.support.board_rows import make_agent, make_task
from tests.support.people_rows import make_member, make_user
from tests.support.statement_counter import count_statements

ALL = Paging(100)


async def find(session: Any, member: Member, text: str = "heron", **filters: Any) -> list[Any]:
    found = await search.search_for_page(session, member, text, ALL, SearchFilters(**filters))
    assert sum(found.counts.values()) >= len(found.items)
    return list(found.items)


@pytest.fixture
async def herons(session, world) -> Any:
    """Something called heron of every kind on Launch, and tasks on the other boards."""
    group = make_group(world.tern, "Birds")
    session.add(group)
    await session.flush()
    board, garden, elsewhere = [
        await session.merge(one) for one in (world.board, world.garden, world.charlies_board)
    ]
    board.board_group_id, board.description = group.id, "A heron is here"
    task = make_task(
        board, "Paint the heron", status=Status.REVIEW, assigned_agent_id=world.worker.id
    )
    task.created_by_user_id = world.bob.id
    session.add_all(
        [
            task,
            make_comment(task, "Which heron?", user_id=world.bob.id),
            make_comment(task, "The grey heron.", agent_id=world.worker.id),
            make_note(board, "A heron note", agent_id=world.lead.id),
            make_note(board, "A heron message", is_chat=True),
            make_group_note(group, "A heron for all"),
            make_agent("Heron", board, identity_profile={"role": "Wading bird"}),
            make_task(garden, "A heron in the garden"),
            make_task(elsewhere, "Another heron"),
            make_agent("Heron", elsewhere),
        ]
    )
    await session.flush()
    return task


async def test_pages_find_every_kind_with_numbers(session, world, herons) -> None:
    found = await search.search_for_page(session, world.alice_member, "heron", ALL)
    assert dict(found.counts) == {"task": 2, "comment": 2, "memory": 3, "board": 1, "agent": 1}
    by_kind = {item.kind: item for item in found.items}
    assert by_kind[ResultKind.AGENT].snippet == [TextPart("Wading bird", False)]
    comments = {item.author_name for item in found.items if item.kind == "comment"}
    assert comments == {"Bob", "Worker"}
    assert {item.is_chat for item in found.items if item.kind == "memory"} == {True, False}
    task = next(item for item in found.items if item.id == herons.id)
    assert (task.status, task.board_name) == (Status.REVIEW, "Launch")
    assert TextPart("heron", True) in task.title_parts
    assert not found.is_cut


async def test_one_statement_finds_a_kind_and_counts_the_others(session, world, herons) -> None:
    with count_statements(await session.connection()) as statements:
        found = await search.search_for_page(
            session, world.alice_member, "heron", Paging(1, 1), SearchFilters(ResultKind.TASK)
        )
    assert len(statements) == 1
    assert [item.kind for item in found.items] == ["task"]
    assert found.counts[ResultKind.COMMENT] == 2
    after = await search.search_for_page(session, world.alice_member, "heron", Paging(5, 90))
    assert (list(after.items), after.counts[ResultKind.TASK]) == ([], 2)


async def test_filters_leave_out_what_has_no_such_property(session, world, herons) -> None:
    async def kinds(**filters: Any) -> list[str]:
        return sorted(item.kind for item in await find(session, world.alice_member, **filters))

    on_launch = ["agent", "board", "comment", "comment", "memory", "memory", "task"]
    assert await kinds(board_id=world.board.id) == on_launch
    assert await kinds(status=Status.REVIEW) == ["task"]
    assert await kinds(status=Status.DONE) == []
    assert await kinds(assignee_id=world.worker.id) == ["task"]
    assert await kinds(author_id=world.bob.id) == ["comment", "task"]
    assert await kinds(author_id=world.lead.id) == ["memory"]
    assert await kinds(until=now() - timedelta(days=1)) == []
    assert len(await kinds(since=now() - timedelta(days=1))) == 8
    assert await kinds(author_id=world.bob.id, kind=ResultKind.COMMENT) == ["comment"]


async def test_people_of_the_organization_are_found_by_name_and_address(session, world) -> None:
    for member, text, names in (
        (world.alice_member, "rit", ["Rita"]),
        (world.rita_member, "alice", ["Alice"]),
        (world.alice_member, "charlie", []),
        (world.alice_member, "rita@example.com", ["Rita"]),
        (world.bob_member, "rita@example.com", ["Rita"]),
    ):
        found = await find(session, member, text)
        assert [item.title for item in found if item.kind == "person"] == names, text


async def test_nobody_finds_what_they_may_not_read(session, world, herons) -> None:
    async def boards_of(member: Member) -> set[Any]:
        found = await find(session, member)
        suggested = await search.suggest_objects(session, member, "heron", board_id=world.board.id)
        shown = [item for items in suggested.values() for item in items]
        boards = {item.board_id for item in found if item.board_group_id is None}
        assert {item.board_id for item in shown} == boards
        recent = await search.load_recent_objects(session, member, [world.board.id, herons.id])
        assert {item.board_id for item in recent} == boards & {world.board.id}
        return boards

    launch = world.board.id
    assert await boards_of(world.alice_member) == {launch, world.garden.id}
    assert await boards_of(world.bob_member) == await boards_of(world.rita_member) == {launch}
    assert await boards_of(world.dana_member) == set()
    assert await boards_of(world.charlie_member) == {world.charlies_board.id}


@pytest.mark.parametrize("text", ["", "  ", "a", "a b", "& | !", "'", "<->"])
async def test_texts_that_match_too_much_are_not_searched(session, world, text) -> None:
    with count_statements(await session.connection()) as statements:
        assert await find(session, world.alice_member, text) == []
        assert await search.suggest_objects(session, world.alice_member, text, board_id=None) == {}
    assert statements == []
    assert search.is_searchable("東")


async def test_only_a_limited_number_of_matches_is_ranked(session, world, monkeypatch) -> None:
    monkeypatch.setattr(queries, "MAX_MATCHES", 3)
    session.add_all([world.make_task(f"Heron {n}") for n in range(7)])
    await session.flush()
    found = await search.search_for_page(session, world.alice_member, "heron", ALL)
    assert (found.counts[ResultKind.TASK], len(found.items), found.is_cut) == (4, 4, True)


async def test_a_search_ends_at_the_time_limit(world, monkeypatch) -> None:
    class SilentDatabase:
        async def fetch(self, query: str, *args: object) -> list[Any]:
            await asyncio.Event().wait()
            return []

    monkeypatch.setattr(queries, "TIME_LIMIT", 0)
    found = await search.search_for_page(SilentDatabase(), world.alice_member, "heron", ALL)
    assert (found.timed_out, list(found.items)) == (True, [])


async def test_suggestions_begin_with_the_board_of_the_page(session, world, herons) -> None:
    suggest = search.suggest_objects
    found = await suggest(session, world.alice_member, "heron", board_id=world.garden.id)
    assert list(found) == ["here", "boards", "tasks", "agents", "comments"]
    assert [item.board_id for item in found["here"]] == [world.garden.id]
    assert [item.board_id for item in found["tasks"]] == [world.board.id]
    assert "people" in await suggest(session, world.alice_member, "rita", board_id=None)
    assert await suggest(session, world.charlie_member, "rita", board_id=None) == {}


async def test_recent_objects_have_their_current_names_in_order(session, world, herons) -> None:
    ids = [world.worker.id, herons.id, world.board.id, world.charlies_board.id, herons.id]
    found = await search.load_recent_objects(session, world.alice_member, ids)
    assert [(item.kind, item.title) for item in found] == [
        ("agent", "Worker"),
        ("task", "Paint the heron"),
        ("board", "Launch"),
    ]
    assert await search.load_recent_objects(session, world.alice_member, []) == []


async def test_a_mention_names_exactly_one_agent(session, world) -> None:
    crowd = [
        make_agent("Wren", world.board, is_board_lead=True),
        make_agent("Wren Smith", world.board),
        make_agent("Юлия", world.board),
        make_agent("Jürgen Lead", world.board, is_board_lead=True),
    ]
    assert [find_mention(agent, crowd) for agent in crowd] == ["Wren", "Wren-Smith", None, "lead"]
    for agent in (crowd[0], crowd[1]):
        assert list_mentioned_agents(f"@{find_mention(agent, crowd)}", crowd) == [agent]


async def test_agents_and_people_of_a_board_can_be_mentioned(session, world) -> None:
    jurgen = make_user("Jürgen", world.tern)
    worker_by_name = make_user("Worker", world.tern)
    for user in (jurgen, worker_by_name):
        session.add_all(
            [
                user,
                Member(
                    organization=world.tern,
                    user=user,
                    role="member",
                    all_boards_read=True,
                    created_at=now(),
                    updated_at=now(),
                ),
            ]
        )
    await session.flush()
    place = await search.get_board_place(session, world.rita_member, world.board.id)

    async def suggest(text: str) -> list[str]:
        found = await search.suggest_mentions(session, world.rita_member, place, text)
        return [one.text for one in found]

    names = ["Lead", "Other-worker", "Worker", "Alice", "Bob", "Jürgen"]
    assert await suggest("") == [*names, "Worker-worker"]  # the name alone means the agent
    assert await suggest("WOR") == ["Other-worker", "Worker", "Worker-worker"]
    assert await suggest("other-w") == ["Other-worker"]
    assert await suggest("jür") == ["Jürgen"]
    assert await suggest("gardener") == await suggest("charlie") == []


async def test_a_group_names_the_agents_of_readable_boards(session, world) -> None:
    group = make_group(world.tern, "Birds")
    session.add(group)
    await session.flush()
    for board in (world.board, world.garden):
        (await session.merge(board)).board_group_id = group.id
    await session.flush()

    async def suggest(member: Member) -> set[str]:
        place = await search.get_group_place(session, member, group.id)
        return {
            one.text
            for one in await search.suggest_mentions(session, member, place, "")
            if one.kind is not MentionKind.PERSON
        }

    session.add_all([make_agent("All", world.board), all_user := make_user("ALL", world.tern)])
    rights = {"role": "member", "all_boards_read": True}
    times = {"created_at": now(), "updated_at": now()}
    session.add(Member(organization=world.tern, user=all_user, **rights, **times))
    await session.flush()
    workers = {"Lead", "Worker", "Other-worker", "all"}
    assert await suggest(world.alice_member) == workers | {"Gardener"}
    assert await suggest(world.bob_member) == workers
    place = await search.get_group_place(session, world.alice_member, group.id)
    found = await search.suggest_mentions(session, world.alice_member, place, "al")
    expected = [(MentionKind.ALL, "all"), (MentionKind.PERSON, "ALL-all")]
    assert [(one.kind, one.text) for one in found] == expected
    with pytest.raises(NotFound):
        await search.get_group_place(session, world.charlie_member, group.id)
    with pytest.raises(Forbidden):
        await search.get_group_place(session, world.dana_member, group.id)


async def test_people_of_the_same_name_are_suggested_with_their_addresses(session, world) -> None:
    for email in ("bob@elsewhere.example", "rob@example.com"):
        user = make_user(email, world.tern)
        user.name, user.email = "Bob", email
        session.add_all([user, make_member(world.tern, user, all_boards_read=True)])
    await session.flush()
    place = await search.get_board_place(session, world.rita_member, world.board.id)
    found = await search.suggest_mentions(session, world.rita_member, place, "bo")
    assert {one.email: one.text for one in found} == {
        "bob@example.com": "Bob-bob-example-com",
        "bob@elsewhere.example": "Bob-bob-elsewhere-example",
        "rob@example.com": "Bob-rob",
    }


async def test_tasks_are_suggested_by_words_or_the_newest_first(session, world) -> None:
    older = world.make_task("Paint the heron")
    older.updated_at = now() - timedelta(hours=1)
    wash = world.make_task("Wash", description="A heron")
    session.add_all([older, wash, make_task(world.garden, "Heron")])
    await session.flush()
    place = await search.get_board_place(session, world.rita_member, world.board.id)
    titles = [task.title for task in await search.suggest_tasks(session, place, "her")]
    assert titles == ["Paint the heron", "Wash"]
    newest = [task.title for task in await search.suggest_tasks(session, place, "")]
    assert newest == ["Wash", "Paint the heron"]
    with pytest.raises(NotFound):
        await search.get_board_place(session, world.charlie_member, world.board.id)
    with pytest.raises(Forbidden):
        await search.get_board_place(session, world.dana_member, world.board.id)
