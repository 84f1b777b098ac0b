"""Read the links of tasks to what is on code hosts."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from sqlalchemy import String, Uuid, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY

from core.db.reads import Query, Source
from core.errors import NotFound
from core.text import N_
from models import Board, LinkKind, Task, TaskLink
from services.forges.payloads import CheckReport

_BOARD_ID = bindparam("board_id", type_=Uuid())


def _build(row: tuple[TaskLink]) -> TaskLink:
    return row[0]


LINK_BY_KEY = Query(
    select(TaskLink).where(TaskLink.board_id == _BOARD_ID, TaskLink.key == bindparam("key")), _build
)
ISSUE_LINKS = Query(
    select(TaskLink).where(
        TaskLink.board_id == _BOARD_ID,
        TaskLink.kind == LinkKind.ISSUE,
        TaskLink.key == bindparam("keys", type_=ARRAY(String())).any_(),
    ),
    _build,
)
CHANGES_WITH_COMMIT = Query(
    select(TaskLink)
    .where(
        TaskLink.board_id == _BOARD_ID,
        TaskLink.kind == LinkKind.CHANGE,
        (TaskLink.commit == bindparam("commit")) | (TaskLink.key == bindparam("key")),
        TaskLink.repository == bindparam("repository"),
    )
    .order_by(TaskLink.created_at, TaskLink.id),
    _build,
)
TASKS: Query[Task] = Query(
    select(Task).where(
        Task.board_id == _BOARD_ID, Task.id == bindparam("ids", type_=ARRAY(Uuid())).any_()
    ),
    lambda row: row[0],
)
TASK_LINKS: Query[TaskLink | None] = Query(
    select(TaskLink)
    .select_from(Task)
    .outerjoin(TaskLink, TaskLink.task_id == Task.id)
    .where(Task.board_id == _BOARD_ID, Task.id == bindparam("task_id"))
    .order_by(TaskLink.updated_at.desc(), TaskLink.id.desc())
    .limit(50),
    _build,
)


async def list_task_links(source: Source, board: Board, task_id: UUID) -> Sequence[TaskLink]:
    """Return the links of a task, the one changed last first. Raises NotFound."""
    found = await TASK_LINKS.fetch(source, board_id=board.id, task_id=task_id)
    if not found:
        raise NotFound("task_not_found", N_("There is no such task on this board."))
    return [link for link in found if link is not None]


async def find_link(source: Source, board: Board, key: str) -> TaskLink | None:
    """Return the link with a key."""
    return await LINK_BY_KEY.first(source, board_id=board.id, key=key)


async def list_changes_of(source: Source, board: Board, check: CheckReport) -> Sequence[TaskLink]:
    """Return the links to pull requests that a check belongs to."""
    names = {"repository": check.repository.name, "commit": check.commit, "key": check.change_url}
    return await CHANGES_WITH_COMMIT.fetch(source, board_id=board.id, **names)


async def load_tasks(source: Source, board: Board, ids: Collection[UUID]) -> Mapping[UUID, Task]:
    """Load the tasks with these ids that are on the board."""
    found = await TASKS.fetch(source, board_id=board.id, ids=list(ids)) if ids else []
    return {task.id: task for task in found}


async def find_task_of_issues(
    source: Source, board: Board, urls: Sequence[str]
) -> Mapping[str, UUID]:
    """Return the tasks of issues, by the URLs of the issues."""
    found = await ISSUE_LINKS.fetch(source, board_id=board.id, keys=list(urls)) if urls else []
    return {link.key: link.task_id for link in found}
