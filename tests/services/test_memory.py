"""Notes: valid fields, who may change them, and which agents receive them."""

from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import CombinedQuery
from core.errors import AppError, Forbidden, Invalid, NotFound, PreconditionFailed
from core.paging import Paging
from models import Actor, Agent, Board, Event, EventType, GroupNote, Message, Note, new_id
from services import boards, memory
from services.memory import MemoryScope, NoteCreate, NoteDetail, NoteUpdate
from tests.support.board_rows import make_agent
from tests.support.memory_rows import create_group_of, make_group_note, make_note
from tests.support.statement_counter import count_statements
from tests.support.world import World

BASE = "http://mission.test"


@pytest.fixture(autouse=True)
async def attached_world(session: AsyncSession, world: World) -> None:
    """Add the world to the session, so that new rows can refer to it."""
    session.add_all(vars(world).values())


async def create_note(
    session: AsyncSession, actor: Actor, scope: MemoryScope, **draft: Any
) -> NoteDetail:
    """Create a note, by default a chat message."""
    draft = {"content": "Hello", "tags": ["chat"], **draft}
    return await memory.create_note(session, actor, scope, NoteCreate(**draft), base_url=BASE)


async def get_board_scope(session: AsyncSession, actor: Actor, board: Board) -> MemoryScope:
    return memory.board_scope(await boards.lock_board(session, actor, board.id))


async def get_group_scope(session: AsyncSession, actor: Actor, board: Board) -> MemoryScope:
    locked = await boards.lock_board(session, actor, board.id)
    return memory.board_group_scope(locked, await boards.find_group_of_board(session, locked))


async def list_recipients(session: AsyncSession) -> list[str]:
    """Return the names of the recipients, in the order of the messages."""
    query = select(Agent.name).join(Message, Message.agent_id == Agent.id).order_by(Message.seq)
    return list(await session.scalars(query))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", "  "),
        ("content", None),
        ("content", "a" * 100_001),
        ("tags", "chat"),
        ("tags", ["a"] * 51),
        ("tags", [5]),
        ("tags", ["a" * 101]),
        ("source", "a" * 201),
    ],
)
async def test_note_fields_have_limits(field: str, value: Any) -> None:
    for model in (NoteCreate, NoteUpdate):
        with pytest.raises(Invalid) as raised:
            model.parse({"content": "Hello", field: value})
        assert raised.value.field == field


async def test_a_rejected_command_creates_no_note(session: AsyncSession, world: World) -> None:
    scope = await get_board_scope(session, world.worker, world.board)
    with pytest.raises(Forbidden):
        await create_note(session, world.worker, scope, content="/pause")
    assert await session.scalar(select(func.count()).select_from(Note)) == 0
    assert await list_recipients(session) == []
    assert await session.scalar(select(func.count()).select_from(Event)) == 0


async def test_a_command_in_a_group_is_an_ordinary_message(
    session: AsyncSession, world: World
) -> None:
    await create_group_of(session, world.board, world.garden)
    scope = await get_group_scope(session, world.worker, world.board)
    await create_note(session, world.worker, scope, content="/pause")
    assert await list_recipients(session) == ["Lead"]
    assert (await session.get_one(Board, world.board.id)).paused_at is None


async def test_chat_messages_of_a_board_without_a_lead_are_not_sent(
    session: AsyncSession, world: World
) -> None:
    scope = await get_board_scope(session, world.alice, world.garden)
    detail = await create_note(session, world.alice, scope)
    assert detail.note.source == "Alice"
    assert await list_recipients(session) == []


async def test_group_chat_reaches_all_leads_and_all_mentioned_agents(
    session: AsyncSession, world: World
) -> None:
    head = make_agent("Head gardener", world.garden, is_board_lead=True)
    namesake = make_agent("Worker", world.garden)
    session.add_all([head, namesake])
    group = await create_group_of(session, world.board, world.garden)
    scope = memory.group_scope(await boards.lock_group(session, world.alice, group.id))
    await create_note(session, world.alice, scope, content="@worker and @lead")
    assert sorted(await list_recipients(session)) == ["Head gardener", "Lead", "Worker", "Worker"]
    messages = list(await session.scalars(select(Message).order_by(Message.seq)))
    assert {message.kind for message in messages} == {"GROUP CHAT MENTION"}
    assert {message.board_id for message in messages} == {world.board.id, world.garden.id}
    assert {message.from_user_id for message in messages} == {world.alice.id}


async def test_note_events_name_the_board_or_group_and_the_note(
    session: AsyncSession, world: World
) -> None:
    group = await create_group_of(session, world.board)
    for scope, board_id, facts in [
        (
            await get_board_scope(session, world.lead, world.board),
            world.board.id,
            {"name": "Launch"},
        ),
        (
            await get_group_scope(session, world.lead, world.board),
            None,
            {"name": "Birds", "group_id": str(group.id)},
        ),
    ]:
        detail = await create_note(session, world.lead, scope, tags=None)
        await memory.update_note(session, world.lead, scope, detail, NoteUpdate.of(tags=["chat"]))
        await memory.delete_note(session, world.lead, scope, detail)
        kind = scope.kind
        query = select(Event).where(Event.type.in_([kind.created, kind.updated, kind.deleted]))
        found = list(await session.scalars(query.order_by(Event.seq)))
        assert [one.type for one in found] == [kind.created, kind.updated, kind.deleted]
        same = {**facts, "memory_id": str(detail.note.id)}
        assert [one.data for one in found] == [
            {**same, "is_chat": False},
            {**same, "is_chat": True, "was_chat": False, "changed": ["tags"]},
            {**same, "is_chat": True},
        ]
        assert {(one.board_id, one.agent_id) for one in found} == {(board_id, world.lead.id)}
    assert await list_recipients(session) == []


async def test_unchanged_values_are_not_saved_and_old_versions_are_rejected(
    session: AsyncSession, world: World
) -> None:
    scope = await get_board_scope(session, world.alice, world.board)
    kept = await create_note(session, world.alice, scope, content="Friday")
    same = NoteUpdate.of(content=" Friday ", tags=["chat"], nonsense=5)
    await memory.update_note(session, world.alice, scope, kept, same, known={1})
    assert kept.note.version == 1
    signed = NoteUpdate.of(source="Bob")
    await memory.update_note(session, world.alice, scope, kept, signed, known={1})
    assert (kept.note.version, kept.note.source, kept.note.user_id) == (2, "Bob", world.alice.id)
    later = NoteUpdate.of(content="Monday")
    with pytest.raises(PreconditionFailed):
        await memory.update_note(session, world.alice, scope, kept, later, known={1})
    with pytest.raises(PreconditionFailed):
        await memory.delete_note(session, world.alice, scope, kept, known={1, 3})
    updated = Event.type == EventType.BOARD_MEMORY_UPDATED
    assert await session.scalar(select(func.count()).where(updated)) == 1
    await memory.delete_note(session, world.alice, scope, kept, known={2})
    with pytest.raises(NotFound):
        await memory.get_note(session, scope, kept.note.id)


@pytest.mark.parametrize("in_group", [False, True])
async def test_agents_change_their_own_notes_and_leads_all_notes(
    session: AsyncSession, world: World, in_group: bool
) -> None:
    group = await create_group_of(session, world.board, world.garden)
    make = make_group_note if in_group else make_note
    where: Any = group if in_group else world.board
    note = make(where, agent_id=world.worker.id)
    session.add(note)
    await session.flush()

    async def rejection_of(actor: Actor, board: Board) -> AppError | None:
        scope = await (get_group_scope if in_group else get_board_scope)(session, actor, board)
        locked = await memory.lock_note(session, scope, note.id)
        try:
            words = NoteUpdate.of(content=f"By {actor.name}")
            await memory.update_note(session, actor, scope, locked, words)
        except Forbidden as error:
            with pytest.raises(Forbidden):
                await memory.delete_note(session, actor, scope, locked)
            return error
        return None

    other = await rejection_of(world.other_worker, world.board)
    assert other is not None
    assert other.code == "memory_author_required"
    for actor in (world.worker, world.lead, world.bob):
        assert await rejection_of(actor, world.board) is None
    if in_group:
        assert await rejection_of(world.gardener, world.garden) is not None
    assert (note.version, note.content, note.agent_id) == (4, "By Bob", world.worker.id)


async def test_a_note_is_found_only_in_its_own_scope(session: AsyncSession, world: World) -> None:
    group = await create_group_of(session, world.board)
    other = await create_group_of(session, world.charlies_board)
    notes = [
        make_note(world.garden),
        make_group_note(other),
        make_note(world.board),
        make_group_note(group),
    ]
    session.add_all(notes)
    await session.flush()
    for scope, own in [
        (await get_board_scope(session, world.alice, world.board), notes[2]),
        (await get_group_scope(session, world.alice, world.board), notes[3]),
        (memory.group_scope(group), notes[3]),
    ]:
        for note in notes:
            if note is own:
                assert (await memory.get_note(session, scope, note.id)).note is own
                continue
            for finding in (memory.get_note, memory.lock_note):
                with pytest.raises(NotFound):
                    await finding(session, scope, note.id)
        found = await memory.list_notes(session, scope, Paging())
        assert [one.note for one in found.items] == [own]
    ids = {note.id for note in notes}
    found = await memory.load_notes(session, memory.GROUP_MEMORY, {group.id}, ids)
    assert list(found) == [notes[3].id]
    assert await memory.load_notes(session, memory.BOARD_MEMORY, {new_id()}, ids) == {}


async def test_author_names_are_shown_while_the_author_exists(
    session: AsyncSession, world: World
) -> None:
    scope = await get_board_scope(session, world.alice, world.board)
    world.bob.preferred_name = "Bobby"
    for actor in (world.bob, world.worker):
        await create_note(session, actor, scope)
    session.add(make_note(world.board, "nobody's", agent_id=new_id()))
    await session.flush()
    found = await memory.list_notes(session, scope, Paging())
    names = {one.note.content: one.author_name for one in found.items}
    assert names["nobody's"] is None
    assert {one.author_name for one in found.items} == {None, "Bobby", "Worker"}
    await session.delete(world.worker)
    await session.flush()
    found = await memory.list_notes(session, scope, Paging())
    [theirs] = [one for one in found.items if one.note.source == "Worker"]
    assert theirs.author_name is None


async def test_the_latest_chat_messages_include_their_authors(
    session: AsyncSession, world: World
) -> None:
    scope = await get_board_scope(session, world.alice, world.board)
    for content in ("one", "two", "three"):
        await create_note(session, world.alice, scope, content=content)
    await create_note(session, world.alice, scope, content="a plan", tags=["plan"])
    query = CombinedQuery(memory.latest_chat_query(limit=2))
    [newest] = await query.fetch(session, board_id=world.board.id)
    assert [one.note.content for one in newest] == ["three", "two"]
    assert newest[0].author_name == "Alice"


@pytest.mark.parametrize("content", ["@all, hello", "/pause"])
async def test_notifying_many_agents_takes_no_more_statements_than_few(
    session: AsyncSession, world: World, content: str
) -> None:
    """P12."""
    group = await create_group_of(session, world.board, world.garden)
    session.add_all([make_agent(f"Agent {n}", world.board) for n in range(50)])
    await session.flush()
    locked = await boards.lock_group(session, world.alice, group.id)
    scopes = {"@all, hello": memory.group_scope(locked), "/pause": memory.board_scope(world.board)}
    with count_statements(await session.connection()) as statements:
        await create_note(session, world.alice, scopes[content], content=content)
    assert len(statements) <= 5, statements
    assert len(await list_recipients(session)) >= 53
    assert await session.scalar(select(func.count()).select_from(GroupNote)) in (0, 1)
