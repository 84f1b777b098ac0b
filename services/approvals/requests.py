"""Asking: an agent, or a person, puts a question before the people of a board."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, NotFound
from models import (
    Actor,
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    EventType,
    Task,
    new_id,
)
from services.approvals import rules
from services.approvals.details import ApprovalDetail, AskedAbout
from services.approvals.facts import record


async def request(
    session: AsyncSession, actor: Actor, board: Board, draft: rules.ApprovalDraft
) -> ApprovalDetail:
    """Ask for an approval on a board that is held. The actor is the one who asks.

    Raises Forbidden or Invalid as rules.py says, NotFound for tasks that are not on this board,
    and Conflict if one of them waits for an approval already.
    """
    rules.check(draft, actor)
    payload = rules.with_reason(draft)
    tasks = await _tasks_on(session, board, rules.linked_task_ids(draft))
    await one_at_a_time(session, board, [task.id for task in tasks])
    agent, asker = (actor, None) if isinstance(actor, Agent) else (None, actor)
    approval = Approval(
        id=new_id(),
        board=board,
        task_id=tasks[0].id if tasks else None,
        agent_id=agent.id if agent else None,
        requested_by_user_id=asker.id if asker else None,
        action_type=draft.action_type.strip(),
        payload=payload,
        confidence=draft.confidence,
        rubric_scores=dict(draft.rubric_scores) if draft.rubric_scores is not None else None,
        status=ApprovalStatus.PENDING,
        created_at=now(),
    )
    session.add(approval)
    for position, task in enumerate(tasks):
        link = ApprovalTask(approval=approval, task=task, position=position, created_at=now())
        session.add(link)
    about = [AskedAbout(task.id, task.title) for task in tasks]
    detail = ApprovalDetail(approval, board, agent, None, asker, about)
    await record(session, EventType.APPROVAL_REQUESTED, actor, detail)
    return detail


async def one_at_a_time(
    session: AsyncSession,
    board: Board,
    task_ids: Collection[UUID],
    *,
    besides: UUID | None = None,
) -> None:
    """Raise Conflict if another approval waits for one of these tasks. The board must be held."""
    pending = (
        select(ApprovalTask.task_id, Approval.id)
        .join(Approval, Approval.id == ApprovalTask.approval_id)
        .where(
            Approval.board_id == board.id,
            Approval.status == ApprovalStatus.PENDING,
            ApprovalTask.task_id.in_(task_ids),
        )
    )
    found = (await session.execute(pending)).all() if task_ids else []
    conflicts = [
        {"task_id": str(task_id), "approval_id": str(approval_id)}
        for task_id, approval_id in found
        if approval_id != besides
    ]
    if conflicts:
        raise Conflict(
            "approval_pending_exists",
            "A question about this task waits for an answer already.",
            conflicts=sorted(conflicts, key=lambda one: (one["task_id"], one["approval_id"])),
        )


async def _tasks_on(session: AsyncSession, board: Board, ids: list[UUID]) -> list[Task]:
    """Return these tasks, in this order. Raises NotFound with those that are not on the board."""
    if not ids:
        return []
    query = select(Task).where(Task.board_id == board.id, Task.id.in_(ids))
    found = {task.id: task for task in await session.scalars(query)}
    missing = [str(id) for id in ids if id not in found]
    if missing:
        raise NotFound(
            "task_not_found",
            "Not all of these tasks are on this board.",
            missing_task_ids=missing,
        )
    return [found[id] for id in ids]
