"""Boards: how they come and go, and in which lists they are."""

from uuid import uuid4

import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Forbidden, NotFound
from kit.paging import Paging
from models import (
    Agent,
    AgentStatus,
    AgentToken,
    Approval,
    ApprovalStatus,
    BoardAccess,
    EventType,
    Member,
    Status,
    Task,
)
from services import boards, identity
from tests.services.boards import a_draft, a_group, change, create, events_of, member_of
from tests.world import World, a_task, token_of


async def test_an_owner_creates_a_board(session: AsyncSession, world: World) -> None:
    group = await a_group(session, world.tern, "Birds")
    board = await create(
        session, world, name="  Nest ", description=" Where we live ", board_group_id=group.id
    )
    assert (board.name, board.slug, board.description) == ("Nest", "nest", "Where we live")
    assert (board.organization_id, board.board_type) == (world.tern.id, "goal")
    assert board.require_approval_for_done
    assert board.max_agents == 1
    assert board.gateway_id is None
    (created,) = await events_of(session, board)
    assert (created.type, created.user_id) == (EventType.BOARD_CREATED, world.alice.id)
    assert created.data == {"name": "Nest"}


async def test_who_creates_a_board_may_read_and_change_it(
    session: AsyncSession, world: World
) -> None:
    member = await member_of(session, world.danas)
    board = await boards.create(session, member, a_draft())
    assert (await boards.hold(session, world.dana, board.id)).id == board.id
    with pytest.raises(Forbidden):
        await boards.get(session, world.bob, board.id)
    with pytest.raises(NotFound):
        await boards.get(session, world.charlie, board.id)


async def test_who_changes_all_boards_needs_no_right_of_their_own(
    session: AsyncSession, world: World
) -> None:
    board = await create(session, world)
    rows = select(BoardAccess).where(BoardAccess.board_id == board.id)
    assert (await session.scalars(rows)).all() == []


async def test_a_member_creates_no_board(session: AsyncSession, world: World) -> None:
    member = await member_of(session, world.bobs)
    with pytest.raises(Forbidden):
        await boards.create(session, member, a_draft())


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
        ({"name": "New"}, "new-2"),
        ({"slug": "100%_"}, "100%_"),
    ],
)
async def test_a_board_has_a_slug_of_its_own(
    session: AsyncSession, world: World, given: dict[str, str], slug: str
) -> None:
    """C30."""
    assert (await create(session, world, **given)).slug == slug


async def test_slugs_are_counted_up_within_an_organization(
    session: AsyncSession, world: World
) -> None:
    made = [(await create(session, world, name="Launch")).slug for _ in range(3)]
    assert made == ["launch-2", "launch-3", "launch-4"]
    charlies = await member_of(session, world.charlies)
    assert (await boards.create(session, charlies, a_draft(name="Launch"))).slug == "launch"


async def test_an_admin_deletes_a_board_with_all_that_is_on_it(
    session: AsyncSession, world: World
) -> None:
    """C23, W-53."""
    first, second = world.task("One"), world.task("Two")
    foreign = Approval(
        board_id=world.garden.id,
        task=first,
        action_type="look",
        confidence=50,
        created_at=now(),
    )
    session.add_all([first, second, *world.approval(first, second), foreign])
    await session.flush()
    board = await boards.hold(session, world.alice, world.board.id)
    await boards.delete(session, world.alice, board)
    for kind in (Task, Agent, Approval, BoardAccess):
        left = select(func.count()).select_from(kind).where(kind.board_id == world.board.id)
        assert await session.scalar(left) == 0
    assert await identity.agent_with_token(session, token_of(world.worker)) is None
    assert await identity.agent_with_token(session, token_of(world.gardener))
    tokens = select(AgentToken).where(AgentToken.agent_id == world.worker.id)
    assert await session.scalar(tokens) is None
    with pytest.raises(NotFound):
        await boards.get(session, world.alice, world.board.id)
    deleted = (await events_of(session, world.board))[-1]
    assert (deleted.type, deleted.data) == (EventType.BOARD_DELETED, {"name": "Launch"})


async def test_only_an_admin_who_may_change_it_deletes_a_board(
    session: AsyncSession, world: World
) -> None:
    for actor in (world.bob, world.rita, world.dana, world.lead):
        with pytest.raises(Forbidden):
            await boards.delete(session, actor, world.board)
    reads = update(Member).where(Member.id == world.danas.id).values(all_boards_read=True)
    await session.execute(reads)
    with pytest.raises(Forbidden):
        await boards.delete(session, world.dana, world.board)
    with pytest.raises(NotFound):
        await boards.delete(session, world.charlie, world.board)
    assert await boards.get(session, world.alice, world.board.id)


async def test_the_boards_of_somebody_come_by_name(session: AsyncSession, world: World) -> None:
    await create(session, world, name="aviary")
    for member, names in [
        (world.alices, ["aviary", "Garden", "Launch"]),
        (world.bobs, ["Launch"]),
        (world.danas, []),
        (world.charlies, ["Charlie's board"]),
    ]:
        page = await boards.listed(session, await member_of(session, member), Paging())
        assert [board.name for board in page.items] == names
        assert page.total == len(names)


async def test_the_boards_of_a_group_or_a_gateway_can_be_asked_for(
    session: AsyncSession, world: World
) -> None:
    group = await a_group(session, world.tern, "Birds")
    await change(session, world.alice, world.garden, board_group_id=group.id)
    member = await member_of(session, world.alices)
    page = await boards.listed(session, member, Paging(), board_group_id=group.id)
    assert [board.name for board in page.items] == ["Garden"]
    assert (await boards.listed(session, member, Paging(), gateway_id=uuid4())).total == 0


async def test_an_agent_lists_its_own_board(session: AsyncSession, world: World) -> None:
    page = await boards.listed_for_agent(session, world.worker, Paging())
    assert [board.name for board in page.items] == ["Launch"]


async def test_boards_are_summed_up_in_two_statements(session: AsyncSession, world: World) -> None:
    group = await a_group(session, world.tern, "Birds")
    await change(session, world.alice, world.board, board_group_id=group.id)
    decided = {"decided_status": ApprovalStatus.APPROVED, "decided_at": now()}
    session.add_all(
        [
            world.task("One"),
            world.task("Two", status=Status.DONE),
            world.task("Three", status=Status.DONE),
            a_task(world.charlies_board, "Foreign"),
            *world.approval(),
            *world.approval(status=ApprovalStatus.REJECTED),
            *world.approval(**decided),
        ]
    )
    worker = update(Agent).where(Agent.id == world.worker.id)
    await session.execute(worker.values(status=AgentStatus.OFFLINE))
    updating = update(Agent).where(Agent.id == world.other_worker.id)
    await session.execute(updating.values(status=AgentStatus.UPDATING))
    member = await member_of(session, world.alices)
    statements = []
    connection = (await session.connection()).sync_connection
    event.listen(connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
    garden, launch = await boards.summaries(session, member)
    assert len(statements) == 2
    assert (launch.board.name, launch.group_name, launch.can_write) == ("Launch", "Birds", True)
    assert (launch.waiting, launch.agents_online, launch.agents) == (1, 1, 3)
    assert launch.task_counts == {"inbox": 1, "in_progress": 0, "review": 0, "done": 2}
    assert launch.tasks == 3
    assert (garden.board.name, garden.group_name, garden.tasks) == ("Garden", None, 0)
    assert (garden.waiting, garden.agents_online, garden.agents) == (0, 1, 1)


async def test_only_boards_that_one_reads_are_summed_up(
    session: AsyncSession, world: World
) -> None:
    for member, names in [
        (world.bobs, [("Launch", True)]),
        (world.ritas, [("Launch", False)]),
        (world.danas, []),
        (world.charlies, [("Charlie's board", True)]),
    ]:
        found = await boards.summaries(session, await member_of(session, member))
        assert [(one.board.name, one.can_write) for one in found] == names
