"""The versions of the description of a task: who wrote which text, and when.

Nothing is stored until a description is changed. The first change stores the text before it too.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import String, Uuid, bindparam, cast, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query, Source
from core.errors import NotFound
from core.text import N_
from models import Actor, Agent, Board, Event, Task, TaskDescription, User
from services import events
from services.tasks.queries import BOARD_ID

MAX_VERSIONS = 50  # of a task; the oldest are deleted
NEWEST_FIRST = (TaskDescription.created_at.desc(), TaskDescription.id.desc())


class DescriptionVersion(NamedTuple):
    """A version of a description, without its text."""

    id: UUID
    created_at: datetime
    author_name: str | None  # None if unknown
    agent_id: UUID | None
    user_id: UUID | None


async def list_description_versions(
    source: Source, board: Board, task_id: UUID
) -> Sequence[DescriptionVersion]:
    """Return the versions of a description, newest first; none if it was never changed."""
    rows = await VERSIONS.fetch(source, board_id=board.id, task_id=task_id)
    return [
        DescriptionVersion(id, at, name or (user.display_name if user else None), agent_id, user_id)
        for id, at, name, user, agent_id, user_id in rows
    ]


async def load_description_beginnings(
    source: Source, board: Board, task_ids: Collection[UUID]
) -> Mapping[UUID, str]:
    """Return the first 500 characters of the descriptions of tasks, by task."""
    rows = await BEGINNINGS.fetch(source, board_id=board.id, ids=list(task_ids)) if task_ids else ()
    return dict(rows)


async def load_description_texts(
    source: Source, board: Board, task_id: UUID, ids: Collection[UUID]
) -> Mapping[UUID, str]:
    """Return the texts of versions of a description, by id."""
    rows = await TEXTS.fetch(source, board_id=board.id, task_id=task_id, ids=list(ids))
    return {id: text or "" for id, text in rows}


async def get_description_text(
    source: Source, board: Board, task_id: UUID, version_id: UUID
) -> str:
    """Return the text of a version of a description. Raises NotFound."""
    texts = await load_description_texts(source, board, task_id, [version_id])
    if version_id not in texts:
        raise NotFound("description_version_not_found", N_("This version is not stored any more."))
    return texts[version_id]


async def store_description(
    session: AsyncSession, actor: Actor, task: Task, old_text: str | None, at: datetime
) -> None:
    """Store the description of a task on a locked board, if it was changed.

    A change by the author of the latest version, within five minutes, replaces its text.
    """
    if task.description == old_text:
        return
    latest = await session.scalar(
        select(TaskDescription)
        .where(TaskDescription.task_id == task.id)
        .order_by(*NEWEST_FIRST)
        .limit(1)
    )
    is_known = latest is not None and latest.text == old_text
    if old_text is not None and not is_known:
        session.add(await _build_earlier_version(session, task, old_text))
    new = TaskDescription(task_id=task.id, text=task.description, created_at=at)
    new.agent_id = actor.id if isinstance(actor, Agent) else None
    new.user_id = actor.id if isinstance(actor, User) else None
    is_recent = latest is not None and at - latest.created_at < timedelta(minutes=5)
    if latest and is_known and is_recent and _author_of(latest) == _author_of(new):
        latest.text = new.text
        return
    session.add(new)
    await session.flush()
    old = select(TaskDescription.id).where(TaskDescription.task_id == task.id)
    old = old.order_by(*NEWEST_FIRST).offset(MAX_VERSIONS)
    await session.execute(delete(TaskDescription).where(TaskDescription.id.in_(old)))


def _author_of(version: TaskDescription) -> tuple[UUID | None, UUID | None]:
    return version.agent_id, version.user_id


async def _build_earlier_version(session: AsyncSession, task: Task, text: str) -> TaskDescription:
    """Build the version before the first stored change: by its last editor, or by the creator."""
    query = (
        select(Event.created_at, Agent.id, User.id)
        .outerjoin(Agent, Agent.id == Event.agent_id)
        .outerjoin(User, User.id == Event.user_id)
        .where(Event.task_id == task.id, func.jsonb_exists(Event.data["changes"], "description"))
        .order_by(Event.created_at.desc())
        .limit(1)
    )
    edit = (await session.execute(query)).one_or_none()
    if edit is None:
        reason = func.concat("lead_agent:", cast(Agent.id, String))
        creator = select(Agent.id).where(
            Agent.board_id == task.board_id, reason == task.auto_reason
        )
        edit = (task.created_at, await session.scalar(creator), task.created_by_user_id)
    at, agent_id, user_id = edit
    return TaskDescription(
        task_id=task.id, text=text, agent_id=agent_id, user_id=user_id, created_at=at
    )


OF_TASK = (TaskDescription.task_id == bindparam("task_id"), Task.board_id == BOARD_ID)
VERSIONS: Query[tuple[UUID, datetime, str | None, User | None, UUID | None, UUID | None]] = Query(
    select(
        TaskDescription.id,
        TaskDescription.created_at,
        func.coalesce(Agent.name, events.select_deleted_agent_name(TaskDescription.agent_id)),
        User,
        TaskDescription.agent_id,
        TaskDescription.user_id,
    )
    .join(Task, Task.id == TaskDescription.task_id)
    .outerjoin(Agent, Agent.id == TaskDescription.agent_id)
    .outerjoin(User, User.id == TaskDescription.user_id)
    .where(*OF_TASK)
    .order_by(*NEWEST_FIRST)
)
HAS_DESCRIPTION_VERSIONS: Query[tuple[UUID]] = Query(
    select(TaskDescription.id).where(TaskDescription.task_id == bindparam("task_id")).limit(1)
)
TEXTS: Query[tuple[UUID, str | None]] = Query(
    select(TaskDescription.id, TaskDescription.text)
    .join(Task, Task.id == TaskDescription.task_id)
    .where(*OF_TASK, TaskDescription.id == func.any(bindparam("ids", type_=ARRAY(Uuid()))))
)
BEGINNINGS: Query[tuple[UUID, str]] = Query(
    select(Task.id, func.left(Task.description, 500)).where(
        Task.board_id == BOARD_ID,
        Task.id == func.any(bindparam("ids", type_=ARRAY(Uuid()))),
        Task.description.is_not(None),
    )
)
