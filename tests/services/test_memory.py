"""What may be remembered, who may change it, and whom it is told to."""

from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden, Invalid, NotFound, PreconditionFailed, Refusal
from kit.paging import Paging
from kit.together import together
from models import Actor, Agent, Board, Event, EventType, GroupNote, Message, Note, new_id
from services import board_groups, boards, memory
from services.memory import NoteDetail, NoteDraft, Place
from tests.remembering import a_group_note, a_note, grouped
from tests.world import World, an_agent

BASE = "http://mission.test"


@pytest.fixture(autouse=True)
async def at_hand(session: AsyncSession, world: World) -> None:
    """Let the session know the world, so that new rows can be hung on it."""
    session.add_all(vars(world).values())


async def write(session: AsyncSession, actor: Actor, place: Place, **draft: Any) -> NoteDetail:
    """Write a note, or a message of the chat if nothing else is said."""
    draft = {"content": "Hello", "tags": ["chat"], **draft}
    return await memory.write(session, actor, place, NoteDraft(**draft), base_url=BASE)


async def place_of(session: AsyncSession, actor: Actor, board: Board) -> Place:
    return memory.on_board(await boards.hold(session, actor, board.id))


async def place_beside(session: AsyncSession, actor: Actor, board: Board) -> Place:
    held = await boards.hold(session, actor, board.id)
    return memory.in_group_of(held, await board_groups.of_board(session, held))


async def told(session: AsyncSession) -> list[str]:
    """Return the names of those who were told something, in the order of the messages."""
    query = select(Agent.name).join(Message, Message.agent_id == Agent.id).order_by(Message.seq)
    return list(await session.scalars(query))


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("content", "  ", "blank"),
        ("content", None, "text_required"),
        ("content", "a" * 100_001, "too_long"),
        ("content", "a\0b", "bad_character"),
        ("tags", "chat", "tags_invalid"),
        ("tags", ["a"] * 51, "tags_invalid"),
        ("tags", [5], "text_required"),
        ("tags", ["a" * 101], "too_long"),
        ("tags", ["a\0"], "bad_character"),
        ("source", "a" * 201, "too_long"),
    ],
)
async def test_what_is_written_has_its_limits(
    session: AsyncSession, world: World, field: str, value: Any, code: str
) -> None:
    place = await place_of(session, world.alice, world.board)
    with pytest.raises(Invalid) as refused:
        await write(session, world.alice, place, **{field: value})
    assert (refused.value.code, refused.value.field) == (code, field)
    kept = await write(session, world.alice, place)
    with pytest.raises(Invalid) as refused:
        await memory.change(session, world.alice, place, kept, {field: value})
    assert (refused.value.code, refused.value.field) == (code, field)
    assert await session.scalar(select(func.count()).select_from(Note)) == 1


async def test_a_refused_command_leaves_nothing(session: AsyncSession, world: World) -> None:
    place = await place_of(session, world.worker, world.board)
    with pytest.raises(Forbidden):
        await write(session, world.worker, place, content="/pause")
    assert await session.scalar(select(func.count()).select_from(Note)) == 0
    assert await told(session) == []
    assert await session.scalar(select(func.count()).select_from(Event)) == 0


async def test_a_command_is_nothing_special_in_a_group(session: AsyncSession, world: World) -> None:
    await grouped(session, world.board, world.garden)
    place = await place_beside(session, world.worker, world.board)
    await write(session, world.worker, place, content="/pause")
    assert await told(session) == ["Lead"]
    assert (await session.get_one(Board, world.board.id)).paused_at is None


async def test_nobody_hears_of_the_chat_of_a_board_without_a_lead(
    session: AsyncSession, world: World
) -> None:
    place = await place_of(session, world.alice, world.garden)
    said = await write(session, world.alice, place)
    assert said.note.source == "Alice"
    assert await told(session) == []


async def test_all_leads_of_a_group_hear_its_chat_and_all_of_one_name_are_called(
    session: AsyncSession, world: World
) -> None:
    head = an_agent("Head gardener", world.garden, is_board_lead=True)
    namesake = an_agent("Worker", world.garden)
    session.add_all([head, namesake])
    group = await grouped(session, world.board, world.garden)
    place = memory.in_group(await board_groups.writing(session, world.alice, group.id))
    await write(session, world.alice, place, content="@worker and @lead")
    assert sorted(await told(session)) == ["Head gardener", "Lead", "Worker", "Worker"]
    messages = list(await session.scalars(select(Message).order_by(Message.seq)))
    assert {message.kind for message in messages} == {"GROUP CHAT MENTION"}
    assert {message.board_id for message in messages} == {world.board.id, world.garden.id}
    assert {message.from_user_id for message in messages} == {world.alice.id}


async def test_an_event_tells_where_it_happened_and_to_which_note(
    session: AsyncSession, world: World
) -> None:
    group = await grouped(session, world.board)
    for place, board_id, facts in [
        (await place_of(session, world.lead, world.board), world.board.id, {"name": "Launch"}),
        (
            await place_beside(session, world.lead, world.board),
            None,
            {"name": "Birds", "group_id": str(group.id)},
        ),
    ]:
        detail = await write(session, world.lead, place, tags=None)
        await memory.change(session, world.lead, place, detail, {"tags": ["chat"]})
        await memory.delete(session, world.lead, place, detail)
        kind = place.kind
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
    assert await told(session) == []


async def test_a_change_of_nothing_is_none_and_a_version_that_is_old_is_refused(
    session: AsyncSession, world: World
) -> None:
    place = await place_of(session, world.alice, world.board)
    kept = await write(session, world.alice, place, content="Friday")
    same = {"content": " Friday ", "tags": ["chat"], "nonsense": 5}
    await memory.change(session, world.alice, place, kept, same, known={1})
    assert kept.note.version == 1
    await memory.change(session, world.alice, place, kept, {"source": "Bob"}, known={1})
    assert (kept.note.version, kept.note.source, kept.note.user_id) == (2, "Bob", world.alice.id)
    with pytest.raises(PreconditionFailed):
        await memory.change(session, world.alice, place, kept, {"content": "Monday"}, known={1})
    with pytest.raises(PreconditionFailed):
        await memory.delete(session, world.alice, place, kept, known={1, 3})
    updated = Event.type == EventType.BOARD_MEMORY_UPDATED
    assert await session.scalar(select(func.count()).where(updated)) == 1
    await memory.delete(session, world.alice, place, kept, known={2})
    with pytest.raises(NotFound):
        await memory.one(session, place, kept.note.id)


@pytest.mark.parametrize("beside", [False, True])
async def test_an_agent_changes_its_own_notes_and_a_lead_those_of_others(
    session: AsyncSession, world: World, beside: bool
) -> None:
    group = await grouped(session, world.board, world.garden)
    make = a_group_note if beside else a_note
    where: Any = group if beside else world.board
    note = make(where, agent_id=world.worker.id)
    session.add(note)
    await session.flush()

    async def refused(actor: Actor, board: Board) -> Refusal | None:
        place = await (place_beside if beside else place_of)(session, actor, board)
        held = await memory.hold(session, place, note.id)
        try:
            words = {"content": f"By {actor.name}"}
            await memory.change(session, actor, place, held, words)
        except Forbidden as refusal:
            with pytest.raises(Forbidden):
                await memory.delete(session, actor, place, held)
            return refusal
        return None

    other = await refused(world.other_worker, world.board)
    assert other is not None
    assert other.code == "memory_author_required"
    for actor in (world.worker, world.lead, world.bob):
        assert await refused(actor, world.board) is None
    if beside:
        assert await refused(world.gardener, world.garden) is not None
    assert (note.version, note.content, note.agent_id) == (4, "By Bob", world.worker.id)


async def test_a_note_is_found_only_where_it_is(session: AsyncSession, world: World) -> None:
    group = await grouped(session, world.board)
    other = await grouped(session, world.charlies_board)
    notes = [a_note(world.garden), a_group_note(other), a_note(world.board), a_group_note(group)]
    session.add_all(notes)
    await session.flush()
    for place, own in [
        (await place_of(session, world.alice, world.board), notes[2]),
        (await place_beside(session, world.alice, world.board), notes[3]),
        (memory.in_group(group), notes[3]),
    ]:
        for note in notes:
            if note is own:
                assert (await memory.one(session, place, note.id)).note is own
                continue
            for finding in (memory.one, memory.hold):
                with pytest.raises(NotFound):
                    await finding(session, place, note.id)
        found = await memory.listed(session, place, Paging())
        assert [one.note for one in found.items] == [own]
    wanted = {note.id for note in notes}
    there = await memory.several(session, memory.GROUP, {group.id}, wanted)
    assert list(there) == [notes[3].id]
    assert await memory.several(session, memory.BOARD, {new_id()}, wanted) == {}


async def test_authors_are_named_while_they_are_there(session: AsyncSession, world: World) -> None:
    place = await place_of(session, world.alice, world.board)
    world.bob.preferred_name = "Bobby"
    for actor in (world.bob, world.worker):
        await write(session, actor, place)
    session.add(a_note(world.board, "nobody's", agent_id=new_id()))
    await session.flush()
    found = await memory.listed(session, place, Paging())
    names = {one.note.content: one.author_name for one in found.items}
    assert names["nobody's"] is None
    assert {one.author_name for one in found.items} == {None, "Bobby", "Worker"}
    await session.delete(world.worker)
    await session.flush()
    found = await memory.listed(session, place, Paging())
    [theirs] = [one for one in found.items if one.note.source == "Worker"]
    assert theirs.author_name is None


async def test_the_newest_messages_of_a_chat_come_with_their_authors(
    session: AsyncSession, world: World
) -> None:
    place = await place_of(session, world.alice, world.board)
    for content in ("one", "two", "three"):
        await write(session, world.alice, place, content=content)
    await write(session, world.alice, place, content="a plan", tags=["plan"])
    [newest] = await together(session, memory.newest_chat(world.board, most=2))
    assert [one.note.content for one in newest] == ["three", "two"]
    assert newest[0].author_name == "Alice"


@pytest.mark.parametrize("content", ["@all, hello", "/pause"])
async def test_telling_many_costs_no_more_than_telling_few(
    session: AsyncSession, world: World, content: str
) -> None:
    """P12."""
    group = await grouped(session, world.board, world.garden)
    session.add_all([an_agent(f"Agent {n}", world.board) for n in range(50)])
    await session.flush()
    held = await board_groups.writing(session, world.alice, group.id)
    places = {"@all, hello": memory.in_group(held), "/pause": memory.on_board(world.board)}
    statements: list[str] = []
    connection = (await session.connection()).sync_connection
    event.listen(connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
    await write(session, world.alice, places[content], content=content)
    assert len(statements) <= 5, statements
    assert len(await told(session)) >= 53
    assert await session.scalar(select(func.count()).select_from(GroupNote)) in (0, 1)
