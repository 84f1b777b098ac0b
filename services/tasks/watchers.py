"""The users who watch a task: they are told about comments and moves."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.db.transactions import Write
from models import Board, Task, TaskWatcher, User
from services import boards
from services.boards import BoardPerson
from services.tasks.queries import get_task

_ADD_WATCHERS = Write(
    text("""
    with added as (
        insert into task_watchers (id, task_id, user_id, created_at)
        select gen_random_uuid(), tasks.id, user_id, :at
        from tasks, unnest(:user_ids) as user_id
        where tasks.id = :task_id for key share of tasks
        on conflict (task_id, user_id) do nothing
        returning user_id
    )
    select user_id from task_watchers where task_id = :task_id
    union select user_id from added
""").bindparams(bindparam("task_id", type_=Uuid()), bindparam("user_ids", type_=ARRAY(Uuid())))
)
_REMOVE_WATCHER = Write(
    text("delete from task_watchers where task_id = :task_id and user_id = :user_id").bindparams(
        bindparam("task_id", type_=Uuid()), bindparam("user_id", type_=Uuid())
    )
)


async def add_watchers(
    session: AsyncSession, task: Task, user_ids: Collection[UUID]
) -> Sequence[UUID]:
    """Let users watch a task of a locked board, and return the ids of all who do."""
    rows = await _ADD_WATCHERS.execute(
        session, task_id=task.id, user_ids=sorted(user_ids), at=now()
    )
    return [row[0] for row in rows]


async def watch_task(session: AsyncSession, user: User, board: Board, task_id: UUID) -> None:
    """Let a user who can read the board watch a task. Raises NotFound."""
    await add_watchers(session, await get_task(session, board, task_id), [user.id])


async def unwatch_task(session: AsyncSession, user: User, board: Board, task_id: UUID) -> None:
    """Stop watching a task, until the user comments on it, is mentioned in it, or gets it.

    Raises NotFound.
    """
    task = await get_task(session, board, task_id)
    await _REMOVE_WATCHER.execute(session, task_id=task.id, user_id=user.id)


WATCHERS: Query[BoardPerson] = boards.build_readers_query(
    boards.ON_BOARD,
    User.id.in_(
        select(TaskWatcher.user_id)
        .join(Task, Task.id == TaskWatcher.task_id)
        .where(Task.id == bindparam("task_id"), Task.board_id == bindparam("board_id"))
    ),
)
"""Those who watch a task and can still read its board, by name."""


async def list_watchers(source: Source, board: Board, task_id: UUID) -> Sequence[BoardPerson]:
    """Return those who watch a task and can still read its board, by name."""
    ids = {"board_id": board.id, "organization_id": board.organization_id, "task_id": task_id}
    return await WATCHERS.fetch(source, **ids)
