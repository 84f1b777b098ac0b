"""Complete the tasks of approvals whose deciders asked for it, once the decisions are final."""

import logging
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import AppError
from models import ApprovalStatus, Status, Task
from services import tasks
from services.approvals.details import ApprovalDetail

log = logging.getLogger(__name__)


def store_choice(detail: ApprovalDetail, completes_tasks: bool | None, *, moves: bool) -> None:
    """Store whether an approval allows its tasks to be done, and whether it moves them there."""
    says_so = completes_tasks is not None
    completes = bool(completes_tasks if says_so else detail.completes_tasks)
    detail.approval.completes_tasks = completes
    detail.approval.moves_tasks_to_done = moves and completes


async def complete_tasks(session: AsyncSession, decided: Iterable[ApprovalDetail]) -> None:
    """Move the open tasks of final approvals to done, as far as the rules of the board allow it.

    The boards are locked. Call it after the effects of the decisions were published, so that a task
    is completed after its approval. A task that was changed after the approval is not moved. The
    code of the rule that does not allow it is stored with the approval; all checks of a task come
    before its first change.
    """
    for detail in decided:
        approval = detail.approval
        is_final = approval.status is ApprovalStatus.APPROVED
        if not (approval.moves_tasks_to_done and is_final and detail.decider):
            continue
        changed_ids = {task.id for task in detail.tasks if task.is_changed}
        ids = select(Task.id).where(Task.id.in_(detail.task_ids), Task.status != Status.DONE)
        for task_id in await session.scalars(ids.order_by(Task.id)):
            if task_id in changed_ids:
                approval.completion_error = "task_changed"
                continue
            try:
                await tasks.update_task(
                    session,
                    detail.decider,
                    detail.board,
                    task_id,
                    tasks.TaskUpdate.of(status=Status.DONE),
                )
            except AppError as error:
                log.info("a task was not completed with its approval: %s", error.message)
                approval.completion_error = error.code
