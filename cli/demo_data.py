"""The data of the demo, created with the services that the pages and the API use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cli.demo_content import DEMO_BOARDS, GROUP, ORGANIZATION, TAGS, DemoAgent, DemoBoard, DemoTask
from core.clock import now
from models import Agent, AgentStatus, Board, BoardGroup, Member, Organization, Status, User
from services import agents, audit, boards, memory, organizations, tags, tasks

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


async def create_demo_organization(session: AsyncSession) -> Member:
    """Create the demo's organization, and return its owner."""
    at = now()
    user = User(clerk_user_id=GUIDE_EXTERNAL_ID, name="Demo guide", created_at=at, updated_at=at)
    session.add(user)
    await session.flush()
    organization = await organizations.create_organization(
        session, user, organizations.OrganizationCreate(name=ORGANIZATION)
    )
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
        _, token = await agents.issue_token(session, member, agent.id)
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


async def create_demo(session: AsyncSession, base_url: str) -> Member:
    """Create the organization with its boards, agents and tasks; return its owner."""
    member = await create_demo_organization(session)
    group = await boards.create_group(session, member, boards.BoardGroupCreate(name=GROUP))
    tag_ids = {}
    for name, color in TAGS.items():
        created = await tags.create_tag(session, member, tags.TagCreate(name=name, color=color))
        tag_ids[name] = created.tag.id
    for demo_board in DEMO_BOARDS:
        builder = _BoardBuilder(session, member, demo_board, tag_ids, base_url)
        await builder.build(group if demo_board.is_in_group else None)
    return member


@dataclass
class _BoardBuilder:
    """Creates a board of the demo with its agents, tasks and notes."""

    session: AsyncSession
    member: Member
    demo_board: DemoBoard
    tag_ids: Mapping[str, UUID]
    base_url: str
    agents_by_name: dict[str, Agent] = field(default_factory=dict)
    task_ids: dict[str, UUID] = field(default_factory=dict)

    async def build(self, group: BoardGroup | None) -> None:
        """Create the board; its rule about approvals applies from the end on."""
        demo_board, user = self.demo_board, self.member.user
        fields = boards.BoardCreate(
            name=demo_board.name,
            description=demo_board.description,
            board_group_id=group.id if group else None,
            objective=demo_board.objective,
            success_metrics={"goal": demo_board.objective},
            require_approval_for_done=False,
            max_agents=5,
        )
        board = await boards.create_board(self.session, self.member, fields)
        for demo_agent in demo_board.agents:
            await self._create_agent(board, demo_agent)
        for title in demo_board.done_titles:
            done = tasks.TaskCreate(title=title, status=Status.DONE)
            await tasks.create_task(self.session, user, board, done)
        for demo_task in demo_board.tasks:  # a task follows those that it depends on
            await self._create_task(board, demo_task)
        scope = memory.board_scope(board)
        for text in demo_board.notes:
            note = memory.NoteCreate(content=text, tags=["decision"])
            await memory.create_note(self.session, user, scope, note, base_url=self.base_url)
        changes = boards.BoardUpdate.of(require_approval_for_done=demo_board.approval_for_done)
        await boards.update_board(self.session, user, board, changes)

    async def _create_agent(self, board: Board, demo_agent: DemoAgent) -> None:
        profile = {"role": demo_agent.role, "emoji": demo_agent.emoji}
        fields = agents.AgentCreate(
            name=demo_agent.name, identity_profile=profile, is_board_lead=demo_agent.is_lead
        )
        agent, _ = await agents.create_agent(self.session, self.member.user, board, fields)
        self.agents_by_name[demo_agent.name] = agent
        if not demo_agent.is_scripted:
            await mark_seen_long_ago(self.session, agent)

    async def _create_task(self, board: Board, demo_task: DemoTask) -> None:
        due_in_days, depends_on = demo_task.due_in_days, demo_task.depends_on
        worker = self.agents_by_name[demo_task.worker] if demo_task.worker else None
        draft = tasks.TaskCreate(
            title=demo_task.title,
            description=demo_task.description,
            status=demo_task.status,
            priority=demo_task.priority,
            due_at=None if due_in_days is None else now() + timedelta(days=due_in_days),
            assigned_agent_id=worker.id if worker else None,
            depends_on_task_ids=[self.task_ids[depends_on]] if depends_on else [],
            tag_ids=[self.tag_ids[name] for name in demo_task.tags],
        )
        detail = await tasks.create_task(self.session, self.member.user, board, draft)
        self.task_ids[demo_task.title] = detail.task.id
