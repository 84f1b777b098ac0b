"""Everything that can be asked about one task."""

from collections.abc import Awaitable, Iterator
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.paging import Paging
from models import Actor, Board
from services import tasks


def asking(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID
) -> Iterator[Awaitable[Any]]:
    """Ask for each thing that starts from a task's id, one after the other."""
    yield tasks.detail(session, board, task_id)
    yield tasks.change(session, actor, board, task_id, {"title": "Mine"})
    yield tasks.comments(session, board, task_id, Paging())
    yield tasks.comment(session, actor, board, task_id, "Mine")
    yield tasks.history(session, board, task_id)
    yield tasks.delete(session, actor, board, task_id)
    yield tasks.restore(session, actor, board, task_id)
