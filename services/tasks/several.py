"""Several tasks, or several comments, of one board at once: for streams, which tell of many."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, Comment, Task, User
from services.tasks.comments import AUTHORED, CommentDetail
from services.tasks.details import TaskDetail, details, from_row


async def details_of(
    session: AsyncSession, board: Board, task_ids: Collection[UUID]
) -> dict[UUID, TaskDetail]:
    """Return those of these tasks that are on the board, each with all that is shown of it."""
    rows = await session.execute(details(board).where(Task.id.in_(task_ids))) if task_ids else ()
    return {row[0].id: from_row(row) for row in rows}


async def comments_of(
    session: AsyncSession, board: Board, comment_ids: Collection[UUID]
) -> dict[UUID, CommentDetail]:
    """Return those of these comments that are on the board, each with who wrote it."""
    query = (
        select(*AUTHORED)
        .outerjoin(Agent, Agent.id == Comment.agent_id)
        .outerjoin(User, User.id == Comment.user_id)
        .where(Comment.board_id == board.id, Comment.id.in_(comment_ids))
    )
    rows = await session.execute(query) if comment_ids else ()
    return {row[0].id: CommentDetail(*row) for row in rows}
