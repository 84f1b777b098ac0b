"""Putting tags on tasks."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import TagAssignment, Task, new_id


async def replace(session: AsyncSession, task: Task, ids: Sequence[UUID]) -> None:
    """Let a task have these tags instead of others, in this order."""
    await session.execute(delete(TagAssignment).where(TagAssignment.task_id == task.id))
    await add(session, task, ids)


async def add(session: AsyncSession, task: Task, ids: Sequence[UUID]) -> None:
    """Put these tags on a task that has none yet, in this order."""
    rows = [
        {
            "id": new_id(),
            "task_id": task.id,
            "tag_id": id,
            "position": position,
            "created_at": now(),
        }
        for position, id in enumerate(ids)
    ]
    if rows:
        await session.execute(insert(TagAssignment), rows)
