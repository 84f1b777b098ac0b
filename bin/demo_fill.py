"""Fills the demo: its boards, agents and tasks, by the same services as the faces."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from bin.demo_story import DESKS, ORGANIZATION, Desk
from kit.clock import now
from models import Board, Member, Status
from services import agents, boards, demo, tasks


async def fill(session: AsyncSession) -> Member:
    """Make the demo, and return its guide."""
    member = await demo.open_organization(session, ORGANIZATION)
    for desk in DESKS:
        await _make_desk(session, member, desk)
    return member


async def _make_desk(session: AsyncSession, member: Member, desk: Desk) -> None:
    draft = boards.BoardDraft(
        name=desk.name,
        slug="",
        description=desk.description,
        objective=desk.objective,
        success_metrics={"goal": desk.objective},
        require_approval_for_done=False,
        max_agents=5,
    )
    board = await boards.create(session, member, draft)
    for worker in desk.workers:
        profile = {"role": worker.role, "emoji": worker.emoji}
        wanted = agents.AgentDraft(name=worker.name, identity_profile=profile)
        agent, _ = await agents.create(
            session, member.user, board, wanted, is_board_lead=worker.is_lead
        )
        if not worker.plays:
            await demo.seen_long_ago(session, agent)
    await _make_tasks(session, member, board, desk)
    rules = {"require_approval_for_done": desk.approval_for_done}
    await boards.change(session, member.user, board, rules)


async def _make_tasks(session: AsyncSession, member: Member, board: Board, desk: Desk) -> None:
    for title in desk.past:
        done = tasks.TaskDraft(title=title, status=Status.DONE)
        await tasks.create(session, member.user, board, done)
    made: dict[str, UUID] = {}
    for work in desk.work:
        draft = tasks.TaskDraft(
            title=work.title,
            description=work.description,
            priority=work.priority,
            due_at=None if work.due_in is None else now() + timedelta(days=work.due_in),
            depends_on_task_ids=[made[work.waits_for]] if work.waits_for else [],
        )
        detail = await tasks.create(session, member.user, board, draft)
        made[work.title] = detail.task.id
