"""Boards are created, deleted, listed and summarized."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden, NotFound
from core.paging import Paging
from models import (
    Agent,
    AgentStatus,
    AgentToken,
    Approval,
    ApprovalStatus,
    AuditRecord,
    Board,
    BoardAccess,
    Event,
    EventType,
    Member,
    Message,
    MessageState,
    Status,
    Task,
)
from services import boards, events, messages
from services.boards import BoardSort
from tests.support.board_helpers import (
    add_group,
    create_board,
    list_board_events,
    load_member,
    make_board_fields,
    update_board,
)
from tests.support.board_rows import make_task
from tests.support.credentials import authenticate_agent
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.memory_rows import create_group_of
from tests.support.people_rows import token_secret
from tests.support.statement_counter import count_statements
from tests.support.world import World


async def test_owner_creates_a_board(session: AsyncSession, world: World) -> None:
    group = await add_group(session, world.tern, "Birds")
    board = await create_board(
        session, world, name="  Nest ", description=" Where we live ", board_group_id=group.id
    )
    assert (board.name, board.slug, board.description) == ("Nest", "nest", "Where we live")
    assert (board.organization_id, board.board_type) == (world.tern.id, "goal")
    assert board.require_approval_for_done
    assert board.max_agents == 1
    assert board.gateway_id is None
    (created,) = await list_board_events(session, board)
    assert (created.type, created.user_id) == (EventType.BOARD_CREATED, world.alice.id)
    assert created.data == {"name": "Nest"}


async def test_creator_may_read_and_change_the_board(session: AsyncSession, world: World) -> None:
    member = await load_member(session, world.dana_member)
    board = await boards.create_board(session, member, make_board_fields())
    assert (await boards.lock_board(session, world.dana, board.id)).id == board.id
    with pytest.raises(Forbidden):
        await boards.get_board(session, world.bob, board.id)
    with pytest.raises(NotFound):
        await boards.get_board(session, world.charlie, board.id)


async def test_member_with_write_access_to_all_boards_gets_no_board_access(
    session: AsyncSession, world: World
) -> None:
    board = await create_board(session, world)
    rows = select(BoardAccess).where(BoardAccess.board_id == board.id)
    assert (await session.scalars(rows)).all() == []


async def test_member_without_admin_role_cannot_create_boards(
    session: AsyncSession, world: World
) -> None:
    member = await load_member(session, world.bob_member)
    with pytest.raises(Forbidden):
        await boards.create_board(session, member, make_board_fields())


@pytest.mark.parametrize(
    ("given", "slug"),
    [
        ({"name": "Launch"}, "launch-2"),
        ({"name": "Crème brûlée & Co."}, "creme-brulee-co"),
        ({"name": "鳥"}, "board"),
        ({"name": "x" * 200}, "x" * 180),
        ({"slug": " My Slug "}, "My Slug"),
        ({"slug": "launch"}, "launch-2"),
        ({"slug": "new"}, "new-2"),
        ({"slug": "2026/spring\\launch"}, "2026-spring-launch"),
        ({"slug": ".."}, "-"),
        ({"slug": "v2..1"}, "v2..1"),
        ({"name": "New"}, "new-2"),
        ({"slug": "100%_"}, "100%_"),
    ],
)
async def test_board_slug_is_unique(
    session: AsyncSession, world: World, given: dict[str, str], slug: str
) -> None:
    """C30."""
    assert (await create_board(session, world, **given)).slug == slug


async def test_slug_suffixes_are_counted_per_organization(
    session: AsyncSession, world: World
) -> None:
    slugs = [(await create_board(session, world, name="Launch")).slug for _ in range(3)]
    assert slugs == ["launch-2", "launch-3", "launch-4"]
    charlies = await load_member(session, world.charlie_member)
    assert (
        await boards.create_board(session, charlies, make_board_fields(name="Launch"))
    ).slug == "launch"


async def test_deleting_a_board_deletes_its_contents(session: AsyncSession, world: World) -> None:
    """C23, W-53."""
    first, second = world.make_task("One"), world.make_task("Two")
    foreign = Approval(
        board_id=world.garden.id,
        task=first,
        action_type="look",
        confidence=50,
        created_at=now(),
    )
    session.add_all([first, second, *world.make_approval(first, second), foreign])
    await session.flush()
    board = await boards.lock_board(session, world.alice, world.board.id)
    await boards.delete_board(session, world.alice, board)
    for model in (Task, Agent, Approval, BoardAccess):
        left = select(func.count()).select_from(model).where(model.board_id == world.board.id)
        assert await session.scalar(left) == 0
    assert await authenticate_agent(session, token_secret(world.worker)) is None
    assert await authenticate_agent(session, token_secret(world.gardener))
    tokens = select(AgentToken).where(AgentToken.agent_id == world.worker.id)
    assert await session.scalar(tokens) is None
    with pytest.raises(NotFound):
        await boards.get_board(session, world.alice, world.board.id)
    deleted = (await list_board_events(session, world.board))[-1]
    assert (deleted.type, deleted.data) == (EventType.BOARD_DELETED, {"name": "Launch"})


async def test_agents_of_a_deleted_board_keep_their_names_in_lists(
    session: AsyncSession, world: World
) -> None:
    """Their events are before that of the board, and audited with who deleted it."""
    board = await boards.lock_board(session, world.alice, world.board.id)
    await boards.delete_board(session, world.alice, board)
    found = await list_board_events(session, world.board)
    gone = {one.id: one.name for one in (world.lead, world.worker, world.other_worker)}
    ended = [(one.type, one.user_id) for one in found]
    assert ended == [(EventType.AGENT_DELETED, world.alice.id)] * 3 + [
        (EventType.BOARD_DELETED, world.alice.id)
    ]
    assert {one.agent_id: one.data["name"] for one in found[:3]} == gone
    query = select(Event.agent_id, events.select_deleted_agent_name(Event.agent_id))
    names = (await session.execute(query.where(Event.agent_id.in_(gone)))).all()
    assert {id: name for id, name in names} == gone
    audited = select(AuditRecord.action, AuditRecord.object_name, AuditRecord.actor_name)
    records = (await session.execute(audited.order_by(AuditRecord.sequence))).all()
    assert {tuple(one) for one in records[:3]} == {
        ("agent.deleted", name, "Alice") for name in gone.values()
    }
    assert tuple(records[3]) == ("board.deleted", "Launch", "Alice")


async def test_deleting_a_board_requires_admin_with_write_access(
    session: AsyncSession, world: World
) -> None:
    for actor in (world.bob, world.rita, world.dana, world.lead):
        with pytest.raises(Forbidden):
            await boards.delete_board(session, actor, world.board)
    reads = update(Member).where(Member.id == world.dana_member.id).values(all_boards_read=True)
    await session.execute(reads)
    with pytest.raises(Forbidden):
        await boards.delete_board(session, world.dana, world.board)
    with pytest.raises(NotFound):
        await boards.delete_board(session, world.charlie, world.board)
    assert await boards.get_board(session, world.alice, world.board.id)


async def test_boards_are_listed_by_name(session: AsyncSession, world: World) -> None:
    await create_board(session, world, name="aviary")
    for member, names in [
        (world.alice_member, ["aviary", "Garden", "Launch"]),
        (world.bob_member, ["Launch"]),
        (world.dana_member, []),
        (world.charlie_member, ["Charlie's board"]),
    ]:
        page = await boards.list_boards(session, await load_member(session, member), Paging())
        assert [board.name for board in page.items] == names
        assert page.total == len(names)


async def test_boards_can_be_filtered_by_group_and_gateway(
    session: AsyncSession, world: World
) -> None:
    group = await add_group(session, world.tern, "Birds")
    await update_board(session, world.alice, world.garden, board_group_id=group.id)
    member = await load_member(session, world.alice_member)
    page = await boards.list_boards(session, member, Paging(), board_group_id=group.id)
    assert [board.name for board in page.items] == ["Garden"]
    assert (await boards.list_boards(session, member, Paging(), gateway_id=uuid4())).total == 0


async def test_agent_lists_its_own_board(session: AsyncSession, world: World) -> None:
    page = await boards.list_agent_boards(session, world.worker, Paging())
    assert [board.name for board in page.items] == ["Launch"]


async def test_board_summaries_take_one_statement(session: AsyncSession, world: World) -> None:
    group = await add_group(session, world.tern, "Birds")
    await update_board(session, world.alice, world.board, board_group_id=group.id)
    decided = {"decided_status": ApprovalStatus.APPROVED, "decided_at": now()}
    session.add_all(
        [
            world.make_task("One"),
            world.make_task("Two", status=Status.DONE),
            world.make_task("Three", status=Status.DONE),
            make_task(world.charlies_board, "Foreign"),
            *world.make_approval(),
            *world.make_approval(status=ApprovalStatus.REJECTED),
            *world.make_approval(**decided),
        ]
    )
    worker = update(Agent).where(Agent.id == world.worker.id)
    await session.execute(worker.values(status=AgentStatus.OFFLINE))
    updating = update(Agent).where(Agent.id == world.other_worker.id)
    await session.execute(updating.values(status=AgentStatus.UPDATING))
    member = await load_member(session, world.alice_member)
    with count_statements(await session.connection()) as statements:
        listed = await boards.list_board_page(session, member, Paging(50))
    assert len(statements) == 1
    garden, launch = listed.page.items
    found = await boards.find_board_summary(session, member, launch.board.id)
    assert found
    assert (found.board.id, found.task_counts) == (launch.board.id, launch.task_counts)
    assert (launch.board.name, launch.group_name, launch.can_write) == ("Launch", "Birds", True)
    assert launch.agent_count == 3
    assert launch.task_counts == {"inbox": 1, "in_progress": 0, "review": 0, "done": 2}
    assert launch.task_count == 3
    assert (garden.board.name, garden.group_name, garden.task_count) == ("Garden", None, 0)
    assert garden.agent_count == 1


async def test_a_page_of_boards_is_sorted_by_the_database(
    session: AsyncSession, world: World
) -> None:
    birds = await add_group(session, world.tern, "birds")
    await update_board(session, world.alice, world.board, board_group_id=birds.id)
    session.add_all([make_task(world.garden, f"Task {number}") for number in range(2)])
    session.add(make_task(world.board, "Old", status=Status.DONE))
    long_ago = update(Board).where(Board.id == world.garden.id)
    await session.execute(long_ago.values(updated_at=now() - timedelta(days=9)))
    member = await load_member(session, world.alice_member)

    async def list_names(sort: BoardSort, **options: Any) -> list[str]:
        found = await boards.list_board_page(session, member, Paging(50), sort=sort, **options)
        assert (found.page.total, found.board_count) == (2, 2)
        return [one.board.name for one in found.page.items]

    launch_first, garden_first = ["Launch", "Garden"], ["Garden", "Launch"]
    for sort, up, down in (
        (BoardSort.NAME, garden_first, launch_first),
        (BoardSort.GROUP, launch_first, launch_first),  # boards without a group are last
        (BoardSort.TASKS, launch_first, garden_first),
        (BoardSort.AGENTS, garden_first, launch_first),
        (BoardSort.UPDATED, garden_first, launch_first),
    ):
        assert await list_names(sort) == up, sort
        assert await list_names(sort, is_descending=True) == down, sort


async def test_a_page_of_boards_has_only_readable_ones(session: AsyncSession, world: World) -> None:
    for member, names in [
        (world.bob_member, [("Launch", True)]),
        (world.rita_member, [("Launch", False)]),
        (world.dana_member, []),
        (world.charlie_member, [("Charlie's board", True)]),
    ]:
        loaded = await load_member(session, member)
        for search in ("", "a"):
            found = await boards.list_board_page(session, loaded, Paging(50), search=search)
            assert [(one.board.name, one.can_write) for one in found.page.items] == names
            assert found.board_count == len(names)


async def test_numbers_are_those_of_readable_boards_only(
    session: AsyncSession, world: World
) -> None:
    group = await create_group_of(session, world.board)
    session.add(world.make_task("Open"))
    for member, sees, changes in [
        (world.bob_member, "Launch", "Launch"),
        (world.rita_member, "Launch", None),
        (world.dana_member, None, None),
        (world.charlie_member, None, "Charlie's board"),
    ]:
        member = await load_member(session, member)
        found = await boards.find_changeable_board(session, member)
        assert (found and found.name) == changes
        launch = await boards.find_board_summary(session, member, world.board.id)
        assert (launch and launch.board.name) == sees
        counts = await boards.count_boards_of_groups(session, member)
        assert counts == ({group.id: (1, 1)} if sees else {})
        of_group = await boards.list_boards_of_group(session, member, group.id)
        assert [board.name for board in of_group] == ([sees] if sees else [])


async def test_a_moved_board_takes_tasks_from_the_agent_of_its_former_gateway(
    session: AsyncSession, world: World
) -> None:
    former, other = make_gateway(world.tern), make_gateway(world.tern, "Pier")
    mains = [make_main_agent(former), make_main_agent(other)]
    main, other_main = (one[0] for one in mains)
    session.add_all([former, other, *mains[0], *mains[1]])
    await session.flush()
    await update_board(session, world.alice, world.board, gateway_id=former.id)
    started = {"status": Status.IN_PROGRESS, "in_progress_at": now()}
    begun = world.make_task("Begun", assigned_agent_id=main.id, **started)
    reviewed = world.make_task("Reviewed", status=Status.REVIEW, assigned_agent_id=main.id)
    done = world.make_task("Done", status=Status.DONE, assigned_agent_id=main.id)
    of_worker = world.make_task("Of a worker", assigned_agent_id=world.worker.id)
    session.add_all([begun, reviewed, done, of_worker])
    await session.flush()

    await update_board(session, world.alice, world.board, gateway_id=other.id)

    assert (begun.status, begun.assigned_agent_id) == (Status.INBOX, None)
    assert (reviewed.status, reviewed.assigned_agent_id) == (Status.REVIEW, None)
    assert (done.assigned_agent_id, of_worker.assigned_agent_id) == (main.id, world.worker.id)
    types = [event.type for event in await list_board_events(session, world.board)]
    assert types[-3:] == [
        EventType.TASK_STATUS_CHANGED,
        EventType.TASK_UPDATED,
        EventType.BOARD_UPDATED,
    ]

    of_worker.assigned_agent_id = other_main.id
    await session.flush()
    await update_board(session, world.alice, world.board, gateway_id=None)
    assert of_worker.assigned_agent_id is None


async def test_senders_learn_that_a_deleted_board_did_not_get_their_messages(
    session: AsyncSession, world: World
) -> None:
    sent = messages.OutgoingMessage(
        to=world.lead,
        content="GATEWAY MAIN HANDOFF",
        board=world.board,
        sender=world.gardener,
        on_failed=EventType.LEAD_MESSAGE_FAILED,
        event_subject=world.gardener,
    )
    other = messages.OutgoingMessage(to=world.gardener, content="NUDGE", board=world.garden)
    _, other_id = await messages.enqueue_messages(session, [sent, other])
    board = await boards.lock_board(session, world.alice, world.board.id)
    await boards.delete_board(session, world.alice, board)
    found = await list_board_events(session, world.board)
    failed = [one for one in found if one.type is EventType.LEAD_MESSAGE_FAILED]
    assert [(one.agent_id, one.data["error"]) for one in failed] == [
        (world.gardener.id, "The agent was deleted before it got this.")
    ]
    assert found[-1].type is EventType.BOARD_DELETED
    query = select(Message.state).where(Message.id == other_id)
    assert await session.scalar(query) is MessageState.QUEUED
