"""Unassign the tasks of people who can no longer read the board.

Assigning a task does not lock the membership of the person, so both can happen at the same time.
The worker then finds the task. See docs/decisions/assignees.md.
"""

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from models import OPEN_STATUSES, Board, BoardAccess, Member, Task
from services import boards, messages
from services.organizations import AccessLoss
from services.tasks.commands import unassign_tasks
from services.tasks.events import build_events

IS_OPEN = Task.assigned_user_id.is_not(None) & Task.status.in_(OPEN_STATUSES)
TASK_BOARD = aliased(Board)


def _can_assignee_read() -> ColumnElement[bool]:
    """Match tasks whose person can read the board."""
    on_board = (BoardAccess.organization_member_id == Member.id) & (
        BoardAccess.board_id == Task.board_id
    )
    query = (
        select(Member.id)
        .join(TASK_BOARD, TASK_BOARD.organization_id == Member.organization_id)
        .outerjoin(BoardAccess, on_board)
        .where(
            Member.user_id == Task.assigned_user_id,
            TASK_BOARD.id == Task.board_id,
            boards.CAN_READ,
        )
    )
    return query.correlate(Task).exists()


async def unassign_former_readers(session: AsyncSession, loss: AccessLoss | None = None) -> None:
    """Unassign the open tasks of the user of a loss, or of all, who cannot read their boards.

    Boards that others have locked are left to the worker.
    """
    is_lost = IS_OPEN & ~_can_assignee_read()
    if loss is not None:
        is_lost &= Task.assigned_user_id == loss.user_id
    lost = select(Task.board_id).where(is_lost)
    query = select(Board).where(Board.id.in_(lost)).order_by(Board.id)
    query = query.with_for_update(key_share=True, of=Board, skip_locked=True)
    new_events = []
    for board in (await session.scalars(query)).all():
        task_events = await unassign_tasks(session, board, is_lost)
        new_events += build_events(loss.by if loss else None, board, task_events)
    if new_events:
        await messages.enqueue_messages(session, (), new_events=new_events)
