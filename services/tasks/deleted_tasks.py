"""The trash of a board: its deleted tasks, and who deleted them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import aliased

from core.db.reads import Query, Source
from models import Agent, Board, Comment, DeletedTask, Event, EventType, Status, Task, User
from services import events
from services.tasks.bulk_changes import MAX_BULK_TASKS
from services.tasks.queries import BOARD_ID

TRASH_LIFETIME = timedelta(hours=1)
"""How long a deleted task can be restored. The worker then purges it, within a few minutes."""


class TrashedTask(NamedTuple):
    """A deleted task that can be restored, and who deleted it."""

    task_id: UUID
    title: str
    status: Status
    comment_count: int
    deleted_at: datetime
    agent_id: UUID | None  # of an agent that deleted it
    user_id: UUID | None
    deleted_by: str | None  # None if unknown
    total: int  # of the deleted tasks of the board that match the query

    @property
    def expires_at(self) -> datetime:
        """When it may be purged."""
        return self.deleted_at + TRASH_LIFETIME


async def list_trashed_tasks(source: Source, board: Board) -> list[TrashedTask]:
    """Return the deleted tasks of a board that the actor may read, the last deleted first."""
    return await TRASHED_TASKS.fetch(source, board_id=board.id)


async def find_trashed_task(source: Source, board: Board, task_id: UUID) -> TrashedTask | None:
    """Return a deleted task of a board that the actor may read, or None."""
    return await TRASHED_TASK.first(source, board_id=board.id, task_id=task_id)


def _build_trashed_task(row: Sequence[Any]) -> TrashedTask:
    task_id, title, status, comment_count, at, agent_id, user_id, agent, user, total = row
    name = user.display_name if user else agent
    return TrashedTask(
        *(task_id, title, Status(status), comment_count, at, agent_id, user_id, name, total)
    )


STORED = DeletedTask.rows[Task.__tablename__][0]
DELETED = aliased(Event)
LAST_DELETION = (
    select(DELETED.id)
    .where(DELETED.task_id == DeletedTask.task_id, DELETED.type == EventType.TASK_DELETED)
    .order_by(DELETED.created_at.desc(), DELETED.seq.desc())
    .limit(1)
)
TRASHED = (
    select(
        DeletedTask.task_id,
        STORED["title"].astext,
        STORED["status"].astext,
        func.jsonb_array_length(DeletedTask.rows[Comment.__tablename__]),
        DeletedTask.deleted_at,
        Event.agent_id,
        Event.user_id,
        func.coalesce(Agent.name, events.select_deleted_agent_name(Event.agent_id)),
        User,
        func.count().over(),
    )
    .select_from(DeletedTask)
    .outerjoin(Event, Event.id == LAST_DELETION.scalar_subquery())
    .outerjoin(Agent, Agent.id == Event.agent_id)
    .outerjoin(User, User.id == Event.user_id)
    .where(DeletedTask.board_id == BOARD_ID)
    .order_by(DeletedTask.deleted_at.desc(), DeletedTask.id.desc())
)
"""Selects the deleted tasks of the board `board_id` for `_build_trashed_task`."""

TRASHED_TASKS: Query[TrashedTask] = Query(TRASHED.limit(MAX_BULK_TASKS), _build_trashed_task)
TRASHED_TASK: Query[TrashedTask] = Query(
    TRASHED.where(DeletedTask.task_id == bindparam("task_id")).limit(1), _build_trashed_task
)
