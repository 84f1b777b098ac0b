"""The data of the demo, created with the services that the pages and the API use."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cli.demo_content import DEMO_BOARDS, ORGANIZATION, DemoBoard
from core.clock import now
from models import Agent, AgentStatus, Board, Member, Organization, Status, User
from services import agents, audit, boards, organizations, tasks

OFFLINE_DURATION = timedelta(hours=3)
GUIDE_EXTERNAL_ID = "demo-guide"
"""The external id of the user who owns the demo and cannot sign in."""


@dataclass(frozen=True)
class ScriptedAgent:
    """An agent that is controlled by a script, and its token."""

    name: str
    board_id: UUID
    token: str


async def find_guide(session: AsyncSession) -> Member | None:
    """Return the membership of the user who owns the demo, or None if there is no demo."""
    user = await session.scalar(select(User).where(User.clerk_user_id == GUIDE_EXTERNAL_ID))
    return await organizations.find_current_membership(session, user) if user else None


async def create_demo_organization(session: AsyncSession, name: str) -> Member:
    """Create the demo's organization, and return its owner."""
    at = now()
    user = User(clerk_user_id=GUIDE_EXTERNAL_ID, name="Demo guide", created_at=at, updated_at=at)
    session.add(user)
    await session.flush()
    organization = await organizations.create_organization(session, user, name=name)
    organization.is_demo = True
    await session.flush()
    member = await organizations.find_current_membership(session, user)
    assert member is not None
    return member


async def issue_demo_tokens(
    session: AsyncSession, member: Member, names: Sequence[str]
) -> list[ScriptedAgent]:
    """Return the agents with these names, each with a new token.

    All their boards are locked before the first event is recorded, since a transaction that has
    recorded an event must not wait for a board.
    """
    query = select(Agent).where(
        Agent.organization_id == member.organization_id, Agent.name.in_(names)
    )
    board_ids = {agent.board_id for agent in await session.scalars(query)}
    locked = await agents.lock_boards(session, member, board_ids)
    query = query.where(Agent.board_id.in_(locked)).order_by(Agent.board_id, Agent.id)
    scripted_agents = []
    for agent in await session.scalars(query.execution_options(populate_existing=True)):
        token = await agents.issue_token(session, member, agent.id)
        if agent.board_id is not None and token is not None:  # those on a gateway get none
            scripted_agents.append(ScriptedAgent(agent.name, agent.board_id, token))
    return scripted_agents


async def mark_seen_long_ago(session: AsyncSession, agent: Agent) -> None:
    """Mark an agent that no script controls as offline since OFFLINE_DURATION."""
    past = {
        "created_at": agent.created_at - 2 * OFFLINE_DURATION,
        "last_seen_at": now() - OFFLINE_DURATION,
    }
    statement = update(Agent).where(Agent.id == agent.id)
    await session.execute(statement.values(status=AgentStatus.OFFLINE, **past))


async def remove_demo(session: AsyncSession) -> bool:
    """Delete the demo with its contents, and return whether there was one."""
    query = select(Organization.id).where(Organization.is_demo)
    ids = (await session.scalars(query)).all()
    await organizations.lock_organization_contents(session, ids)
    records = await organizations.erase_organizations(session, ids)
    await session.execute(delete(User).where(User.clerk_user_id == GUIDE_EXTERNAL_ID))
    await audit.record_audit(session, records)
    return bool(ids)


async def create_demo(session: AsyncSession) -> Member:
    """Create the organization with its boards, agents and tasks; return its owner."""
    member = await create_demo_organization(session, ORGANIZATION)
    for demo_board in DEMO_BOARDS:
        await _create_board(session, member, demo_board)
    return member


async def _create_board(session: AsyncSession, member: Member, demo_board: DemoBoard) -> None:
    board_draft = boards.BoardDraft(
        name=demo_board.name,
        slug="",
        description=demo_board.description,
        objective=demo_board.objective,
        success_metrics={"goal": demo_board.objective},
        require_approval_for_done=False,
        max_agents=5,
    )
    board = await boards.create_board(session, member, board_draft)
    for demo_agent in demo_board.agents:
        profile = {"role": demo_agent.role, "emoji": demo_agent.emoji}
        draft = agents.AgentDraft(name=demo_agent.name, identity_profile=profile)
        agent, _ = await agents.create_agent(
            session, member.user, board, draft, is_board_lead=demo_agent.is_lead
        )
        if not demo_agent.is_scripted:
            await mark_seen_long_ago(session, agent)
    await _create_tasks(session, member, board, demo_board)
    changes = {"require_approval_for_done": demo_board.approval_for_done}
    await boards.update_board(session, member.user, board, changes)


async def _create_tasks(
    session: AsyncSession, member: Member, board: Board, demo_board: DemoBoard
) -> None:
    for title in demo_board.done_titles:
        done = tasks.TaskDraft(title=title, status=Status.DONE)
        await tasks.create_task(session, member.user, board, done)
    task_ids: dict[str, UUID] = {}
    for demo_task in demo_board.tasks:  # a task follows those that it depends on
        draft = tasks.TaskDraft(
            title=demo_task.title,
            description=demo_task.description,
            priority=demo_task.priority,
            due_at=None
            if demo_task.due_in_days is None
            else now() + timedelta(days=demo_task.due_in_days),
            depends_on_task_ids=[task_ids[demo_task.depends_on]] if demo_task.depends_on else [],
        )
        detail = await tasks.create_task(session, member.user, board, draft)
        task_ids[demo_task.title] = detail.task.id
