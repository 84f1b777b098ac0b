"""Boards: how they come, change and go, and what is told of them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Forbidden, Invalid, NotFound
from kit.paging import Paging
from models import (
    Actor,
    Agent,
    AgentStatus,
    AgentToken,
    Approval,
    ApprovalStatus,
    Board,
    BoardAccess,
    BoardGroup,
    Event,
    EventType,
    Member,
    Organization,
    Status,
    Task,
)
from services import boards, identity, messages
from services.boards import BoardDraft
from tests.world import World, a_task, token_of

GOAL = {"objective": "Fly south", "success_metrics": {"kilometres": 20_000}}


def a_draft(**fields: Any) -> BoardDraft:
    given: dict[str, Any] = {"name": "Nest", "description": "Where we live"} | fields
    return BoardDraft(**given)


async def member_of(session: AsyncSession, member: Member) -> Member:
    found = await session.get(Member, member.id)
    assert found is not None
    await session.refresh(found, ["organization", "user"])
    return found


async def create(session: AsyncSession, world: World, **fields: Any) -> Board:
    member = await member_of(session, world.alices)
    return await boards.create(session, member, a_draft(**fields))


async def change(session: AsyncSession, actor: Actor, board: Board, **changes: Any) -> Board:
    held = await boards.hold(session, actor, board.id)
    return await boards.change(session, actor, held, changes)


async def events_of(session: AsyncSession, board: Board) -> list[Event]:
    """Return what happened to a board, but for what was told of it."""
    here = (Event.board_id == board.id) & Event.type.not_in(messages.EVENTS)
    return list(await session.scalars(select(Event).where(here).order_by(Event.seq)))


async def a_group(session: AsyncSession, organization: Organization, name: str) -> BoardGroup:
    group = BoardGroup(
        organization_id=organization.id,
        name=name,
        slug=name.lower(),
        created_at=now(),
        updated_at=now(),
    )
    session.add(group)
    await session.flush()
    return group


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


TOO_FAR = datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=5)))
TOO_EARLY = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))

WRONG: list[tuple[str, object]] = [
    ("name", "  "),
    ("name", None),
    ("name", "x" * 201),
    ("name", "NUL \0"),
    ("name", "half \ud800"),
    ("name", 7),
    ("slug", None),
    ("slug", "x" * 201),
    ("description", ""),
    ("description", None),
    ("description", "x" * 1_000_000),
    ("board_type", ""),
    ("board_type", None),
    ("board_type", "x" * 51),
    ("objective", "NUL \0"),
    ("objective", "x" * 1_000_000),
    ("success_metrics", "many"),
    ("success_metrics", []),
    ("success_metrics", {"NUL \0": 1}),
    ("success_metrics", {"deep": [{"half": "\ud800"}]}),
    ("success_metrics", {"number": float("nan")}),
    ("success_metrics", {"long": "x" * 1_000_000}),
    ("target_date", "tomorrow"),
    ("target_date", TOO_FAR),
    ("target_date", TOO_EARLY),
    ("goal_confirmed", None),
    ("goal_confirmed", "yes"),
    ("goal_source", "x" * 201),
    ("require_approval_for_done", None),
    ("only_lead_can_change_status", 1),
    ("max_agents", -1),
    ("max_agents", 2**31),
    ("max_agents", None),
    ("max_agents", True),
    ("max_agents", 1.5),
    ("gateway_id", uuid4()),
    ("gateway_id", "gateway"),
    ("board_group_id", uuid4()),
    ("board_group_id", 1),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
async def test_what_cannot_be_is_told_by_its_field(
    session: AsyncSession, world: World, field: str, value: object
) -> None:
    """C30."""
    with pytest.raises(Invalid) as refusal:
        await create(session, world, **{field: value})
    assert refusal.value.field == field
    with pytest.raises(Invalid) as refusal:
        await change(session, world.alice, world.board, **{field: value})
    assert refusal.value.field == field
    board = await session.get(Board, world.board.id)
    assert board is not None
    assert not session.is_modified(board)
    assert await events_of(session, world.board) == []


async def test_a_group_of_another_organization_is_none(session: AsyncSession, world: World) -> None:
    foreign = await a_group(session, world.plover, "Foreign")
    for attempt in (
        create(session, world, board_group_id=foreign.id),
        change(session, world.alice, world.board, board_group_id=foreign.id),
    ):
        with pytest.raises(Invalid) as refusal:
            await attempt
        assert refusal.value.field == "board_group_id"


@pytest.mark.parametrize(
    ("missing", "field"),
    [
        ({"objective": None}, "objective"),
        ({"objective": "  "}, "objective"),
        ({"success_metrics": None}, "success_metrics"),
        ({"success_metrics": {}}, "success_metrics"),
    ],
)
async def test_a_confirmed_goal_says_what_it_is_and_how_it_is_measured(
    session: AsyncSession, world: World, missing: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        await create(session, world, goal_confirmed=True, **GOAL | missing)
    assert refusal.value.field == field
    board = await create(session, world, **GOAL | missing)
    with pytest.raises(Invalid) as refusal:
        await change(session, world.alice, board, goal_confirmed=True)
    assert refusal.value.field == field
    confirmed = await create(session, world, goal_confirmed=True, **GOAL)
    with pytest.raises(Invalid) as refusal:
        await change(session, world.alice, confirmed, **missing)
    assert refusal.value.field == field


async def test_a_board_that_turns_to_a_goal_says_what_it_is(
    session: AsyncSession, world: World
) -> None:
    with pytest.raises(Invalid):
        await change(session, world.alice, world.board, board_type="goal")
    board = await change(session, world.alice, world.board, board_type="goal", **GOAL)
    assert board.board_type == "goal"
    again = await change(session, world.alice, world.board, goal_confirmed=True)
    assert again.goal_confirmed


async def test_other_boards_may_be_confirmed_without_a_goal(
    session: AsyncSession, world: World
) -> None:
    assert (await create(session, world, board_type="general", goal_confirmed=True)).goal_confirmed


async def test_an_unfinished_goal_does_not_hinder_other_changes(
    session: AsyncSession, world: World
) -> None:
    board = await create(session, world)
    assert (await change(session, world.alice, board, name="Roost")).name == "Roost"
    with pytest.raises(Invalid):
        await change(session, world.alice, board, board_type="goal")
    imported = update(Board).where(Board.id == board.id).values(goal_confirmed=True)
    await session.execute(imported)
    assert (await change(session, world.alice, board, name="Perch")).name == "Perch"


async def test_a_change_says_what_was_and_what_is(session: AsyncSession, world: World) -> None:
    due = datetime(2027, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    before = (await boards.get(session, world.alice, world.board.id)).updated_at
    board = await change(
        session, world.alice, world.board, name="Lift-off", target_date=due, max_agents=2
    )
    assert board.target_date == datetime(2027, 1, 1, 11, tzinfo=UTC)
    assert board.updated_at > before
    (changed,) = await events_of(session, board)
    assert (changed.type, changed.user_id) == (EventType.BOARD_UPDATED, world.alice.id)
    assert changed.data["changes"] == {
        "name": ["Launch", "Lift-off"],
        "target_date": [None, "2027-01-01T11:00:00+00:00"],
    }


async def test_a_change_that_changes_nothing_is_not_recorded(
    session: AsyncSession, world: World
) -> None:
    before = (await boards.get(session, world.alice, world.board.id)).updated_at
    same = {"name": " Launch ", "slug": "launch", "max_agents": 2, "gateway_id": None}
    for changes in ({}, same, {"unknown": 1, "id": uuid4(), "organization_id": uuid4()}):
        board = await change(session, world.alice, world.board, **changes)
        assert board.updated_at == before
    assert board.organization_id == world.tern.id
    assert await events_of(session, world.board) == []


async def test_a_blank_slug_is_made_from_the_name(session: AsyncSession, world: World) -> None:
    board = await change(session, world.alice, world.board, name="Garden", slug="")
    assert board.slug == "garden-2"
    assert (await change(session, world.alice, world.board, slug=" ")).slug == "garden-2"
    assert (await change(session, world.alice, world.board, slug="launch")).slug == "launch"


@pytest.mark.parametrize(
    "changes",
    [
        {"require_approval_for_done": True},
        {"require_review_before_done": True},
        {"comment_required_for_review": True},
        {"block_status_changes_with_pending_approval": True},
        {"only_lead_can_change_status": True},
        {"max_agents": 9},
        {"name": "Bob's", "max_agents": 9},
    ],
)
async def test_the_rules_of_a_board_are_for_admins(
    session: AsyncSession, world: World, changes: dict[str, Any]
) -> None:
    """S7."""
    with pytest.raises(Forbidden) as refusal:
        await change(session, world.bob, world.board, **changes)
    assert refusal.value.code == "admin_required"
    assert await events_of(session, world.board) == []
    changed = await change(session, world.alice, world.board, **changes)
    assert {name: getattr(changed, name) for name in changes} == changes


async def test_the_group_of_a_board_is_for_admins(session: AsyncSession, world: World) -> None:
    group = await a_group(session, world.tern, "Birds")
    with pytest.raises(Forbidden):
        await change(session, world.bob, world.board, board_group_id=group.id)
    await change(session, world.alice, world.board, board_group_id=group.id)
    with pytest.raises(Forbidden):
        await change(session, world.bob, world.board, board_group_id=None)
    (changed,) = await events_of(session, world.board)
    assert changed.data["changes"] == {"board_group_id": [None, str(group.id)]}


async def test_a_member_with_the_right_changes_what_is_no_rule(
    session: AsyncSession, world: World
) -> None:
    board = await change(
        session, world.bob, world.board, name="Bob's", require_approval_for_done=False
    )
    assert board.name == "Bob's"


async def test_who_may_not_change_a_board_does_not(session: AsyncSession, world: World) -> None:
    for actor in (world.rita, world.dana):
        with pytest.raises(Forbidden):
            await change(session, actor, world.board, name="Mine")
    with pytest.raises(NotFound):
        await change(session, world.charlie, world.board, name="Mine")


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
