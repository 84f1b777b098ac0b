"""Delete tasks and restore them: the rows of a deleted task are stored as JSON in the trash.

The task's own rows are deleted at once, as in the original. Its events stay.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    Text,
    TextClause,
    Uuid,
    bindparam,
    cast,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
    true,
    update,
)
from sqlalchemy import delete as delete_rows
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from core.clock import now
from core.db.reads import Query, Source
from core.db.transactions import delete_unlocked
from core.errors import NotFound
from core.fields import KnownVersions, check_version
from core.paging import KeysetPage, KeysetQuery, PagePlace
from core.text import N_
from models import (
    DECISIONS_TOPIC,
    Actor,
    Agent,
    AgentQuestion,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Base,
    Board,
    CodingSession,
    Comment,
    CustomFieldValue,
    DeletedTask,
    Event,
    EventType,
    ReadMarker,
    Run,
    Status,
    TagAssignment,
    Task,
    TaskDependency,
    TaskDescription,
    TaskLink,
    TaskWatcher,
    ToolGrant,
    UsageFact,
    User,
    new_id,
)
from services import boards, custom_fields, desired_state, events, notifications
from services.outbox import wake_workers
from services.tasks import dependencies
from services.tasks.commands import return_to_inbox, unassign_task
from services.tasks.queries import BOARD_ID, TaskDetail, get_task, get_task_detail, task_not_found
from services.tasks.rules import check_may_create_and_delete
from services.tasks.storage import TaskEvent, list_changed_tasks, publish_events, store_tasks
from services.tasks.transitions import apply_column_values

PRIMARY_APPROVALS_KEY = "primaries"
"""The key, beside the table names, of the shared approvals whose primary task was deleted."""

LINKED_MODELS = (AgentQuestion, Run, CodingSession, UsageFact)
"""What is about a task and stays without it. Of these the trash has the ids, by table name."""


async def delete_task(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID, *, known: KnownVersions = None
) -> None:
    """Delete a task of a locked board, with its dependent rows.

    Approvals about this task alone are deleted. An approval about other tasks too stays, and the
    next of them becomes its primary task. Only users and the board's lead may delete. Raises
    NotFound, Forbidden, and PreconditionFailed if the task's version is not among the `known` ones.
    """
    check_may_create_and_delete(actor, board)
    if isinstance(actor, Agent):
        await boards.check_agent_may_work(session, board, actor)
    task, own_approval_ids = await _load_for_deletion(session, board, task_id)
    check_version(known, task.version)
    dependents = await dependencies.list_open_dependents(session, task)
    await _store_rows(session, task, own_approval_ids)
    await _delete_rows(session, task, own_approval_ids)
    if own_approval_ids:
        keys = [str(id) for id in own_approval_ids]
        await notifications.resolve(session, notifications.DECISION_KINDS, keys)
    deleted = {"left": task.status.value, "approval_ids": [str(id) for id in own_approval_ids]}
    await publish_events(
        session,
        actor,
        board,
        [
            TaskEvent(EventType.TASK_DELETED, task, deleted),
            *_dependent_events(dependents, {"deleted_task_id": str(task.id)}),
        ],
    )


async def restore_task(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID
) -> TaskDetail:
    """Restore a deleted task with its references, and publish it: see `restore_kept_task`."""
    await keep_references(session, board, [task_id])
    task_events = await restore_kept_task(session, actor, board, task_id)
    await publish_events(session, actor, board, task_events)
    return await get_task_detail(session, board, task_id)


async def restore_kept_task(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID
) -> list[TaskEvent]:
    """Restore a deleted task on a locked board, with its dependent rows, and return its events.

    Call `keep_references` before, and publish the events after the last task: other transactions
    that record events wait from then on, and the search words of large comments take long.

    References to rows that no longer exist are left out, and so are
    dependencies that would now create a cycle, and links of approvals that were decided meanwhile.
    The task is unassigned if its agent or person has left the board, and dependents that were
    started meanwhile return to the inbox. Raises NotFound after the purge, and Forbidden.
    """
    check_may_create_and_delete(actor, board)
    stored = await session.scalar(
        select(DeletedTask).where(DeletedTask.board_id == board.id, DeletedTask.task_id == task_id)
    )
    if stored is None:
        raise NotFound("task_not_restorable", N_("This task was deleted permanently."))
    rows = dict(stored.rows)
    primary_approval_ids = rows.pop(PRIMARY_APPROVALS_KEY)
    unseen = await find_approvals_decided_since(session, rows, stored.deleted_at)
    await restore_rows(session, board, rows, without_links_of=unseen)
    primary_ids = {UUID(id) for id in primary_approval_ids} - unseen
    if primary_ids:
        primary_update = update(Approval).where(Approval.id.in_(primary_ids))
        await session.execute(primary_update.values(task_id=task_id))
    await _link_again(session, rows, task_id)
    await session.delete(stored)
    task = await get_task(session, board, task_id)
    approval_ids = [row["id"] for row in rows[Approval.__tablename__]]
    pending = [
        row["id"]
        for row in rows[Approval.__tablename__]
        if row["status"] == ApprovalStatus.PENDING and row["decided_status"] is None
    ]
    if pending:
        await notifications.reopen(session, notifications.DECISION_KINDS, pending)
    if any(row["status"] == ApprovalStatus.PENDING for row in rows[Approval.__tablename__]):
        await wake_workers(session, DECISIONS_TOPIC)  # a decision may be due
    return await _update_after_restore(
        session, board, task, rows[Task.__tablename__][0], approval_ids
    )


async def _link_again(session: AsyncSession, rows: Mapping[str, Any], task_id: UUID) -> None:
    """Link what was about a deleted task with it again, unless it is about another one now."""
    for model in LINKED_MODELS:
        # a task that an earlier version deleted has none
        if ids := [UUID(id) for id in rows.get(model.__tablename__, [])]:
            # in one parameter: a statement has at most 32,767
            is_stored = model.id == func.any(literal(ids, ARRAY(Uuid())))
            linked = update(model).where(is_stored, model.task_id.is_(None))
            await session.execute(
                linked.values(task_id=task_id).execution_options(synchronize_session=False)
            )


async def _update_after_restore(
    session: AsyncSession,
    board: Board,
    task: Task,
    restored_row: Mapping[str, Any],
    approval_ids: Sequence[str],
) -> list[TaskEvent]:
    """Adapt a restored task and its dependents to changes that were made while it was deleted."""
    at = now()
    apply_column_values(task, {}, at)
    restored_data = {"entered": task.status.value, "approval_ids": approval_ids}
    task_events = [TaskEvent(EventType.TASK_RESTORED, task, restored_data)]
    if await _has_lost_assignee(session, board, task, restored_row):
        task_events.append(unassign_task(task, at))
    reason: dict[str, object] = {"restored_task_id": str(task.id)}
    for other in await dependencies.list_open_dependents(session, task):
        if task.status is Status.DONE or other.status is Status.INBOX:
            task_events += _dependent_events([other], reason)
        else:
            task_events.append(return_to_inbox(other, reason, at))
    returned = [one for one in list_changed_tasks(task_events) if one is not task]
    await store_tasks(session, [task, *returned])
    return task_events


async def _has_lost_assignee(
    session: AsyncSession, board: Board, task: Task, restored_row: Mapping[str, Any]
) -> bool:
    """Say whether an open task's agent or person has left the board.

    Who was deleted meanwhile is missed only if the task had started.
    """
    had_assignee = restored_row["assigned_agent_id"] or restored_row.get("assigned_user_id")
    if task.status is Status.DONE or not had_assignee:
        return False
    if task.assigned_user_id is not None:
        return not await boards.can_user_read(session, board, task.assigned_user_id)
    if task.assigned_agent_id is None:
        return task.status is Status.IN_PROGRESS
    # the agent of a gateway has no board
    is_of_gateway = Agent.board_id.is_(None) & (Agent.gateway_id == board.gateway_id)
    present = select(Agent.id).where(
        Agent.id == task.assigned_agent_id,
        is_of_gateway | (Agent.board_id == board.id),
        desired_state.IS_NOT_BEING_REMOVED,
    )
    return await session.scalar(present) is None


async def purge_tasks(
    session: AsyncSession, user: User, board: Board, task_ids: Collection[UUID]
) -> int:
    """Delete tasks from the trash of a board that an admin has locked; return their number.

    Nobody can restore them. Their events and the audit stay, which have the title and say who has
    deleted what.
    """
    purged = delete_rows(DeletedTask).where(
        DeletedTask.board_id == board.id, DeletedTask.task_id.in_(task_ids)
    )
    purged = purged.returning(DeletedTask.task_id, STORED["title"].astext)
    found = (await session.execute(purged)).all()
    await events.record_events(
        session,
        [
            events.NewEvent(
                EventType.TASK_PURGED,
                user,
                organization_id=board.organization_id,
                board=board,
                task=task_id,
                data={"title": title},
            )
            for task_id, title in found
        ],
    )
    return len(found)


async def purge_trash(session: AsyncSession, *, keep_days: float) -> int:
    """Remove a batch of the tasks that were deleted longer ago than this; return their number."""
    is_old = DeletedTask.deleted_at < now() - timedelta(days=keep_days)
    return await delete_unlocked(session, DeletedTask, is_old)


def _dependent_events(dependents: Sequence[Task], reason: dict[str, object]) -> list[TaskEvent]:
    return [TaskEvent(EventType.TASK_UPDATED, other, reason) for other in dependents]


async def _load_for_deletion(
    session: AsyncSession, board: Board, task_id: UUID
) -> tuple[Task, list[UUID]]:
    """Load a task of this board and the ids of approvals about it alone. Raises NotFound."""
    primary_query = select(Approval.id).where(
        Approval.task_id == task_id, ~_other_task_ids_query(task_id).exists()
    )
    own_approval_ids = func.array(primary_query.scalar_subquery(), type_=ARRAY(Uuid()))
    query = select(Task, own_approval_ids).where(Task.id == task_id, Task.board_id == board.id)
    row = (await session.execute(query.execution_options(populate_existing=True))).one_or_none()
    if row is None:
        raise task_not_found()
    return row[0], list(row[1])


def _other_task_ids_query(task_id: UUID) -> Select[UUID]:
    """Select the other tasks of an approval of the enclosing query, in their order."""
    links = select(ApprovalTask.task_id).where(
        ApprovalTask.approval_id == Approval.id, ApprovalTask.task_id != task_id
    )
    return links.order_by(ApprovalTask.position, ApprovalTask.created_at, ApprovalTask.id)


async def _store_rows(session: AsyncSession, task: Task, own_approval_ids: Sequence[UUID]) -> None:
    """Store the rows that are deleted with a task in the trash, as JSON by table name."""
    conditions = {
        Task: Task.id == task.id,
        TaskDependency: (TaskDependency.task_id == task.id)
        | (TaskDependency.depends_on_task_id == task.id),
        Comment: Comment.task_id == task.id,
        TaskDescription: TaskDescription.task_id == task.id,
        TagAssignment: TagAssignment.task_id == task.id,
        CustomFieldValue: CustomFieldValue.task_id == task.id,
        TaskLink: TaskLink.task_id == task.id,
        TaskWatcher: TaskWatcher.task_id == task.id,
        Approval: Approval.id.in_(own_approval_ids),
        ApprovalTask: ApprovalTask.task_id == task.id,
        ToolGrant: ToolGrant.task_id == task.id,
        ReadMarker: ReadMarker.task_id == task.id,
    }
    named: list[Any] = []
    for model, condition in conditions.items():
        row = func.to_jsonb(literal_column(model.__tablename__))
        if model is Task:  # as a text, because a JSON number would lose digits
            row = row.concat(func.jsonb_build_object("rank", cast(Task.rank, Text)))
        rows = func.jsonb_agg(row)
        found = select(func.coalesce(rows, func.jsonb_build_array()))
        found = found.select_from(model.__table__).where(condition)
        named += [literal_column(f"'{model.__tablename__}'"), found.scalar_subquery()]
    is_shared = (Approval.task_id == task.id) & Approval.id.not_in(own_approval_ids)
    linked: list[tuple[str, Any, ColumnElement[bool]]] = [
        (PRIMARY_APPROVALS_KEY, Approval, is_shared),
        *((model.__tablename__, model, model.task_id == task.id) for model in LINKED_MODELS),
    ]
    for key, model, condition in linked:
        ids = select(func.coalesce(func.jsonb_agg(model.id), func.jsonb_build_array()))
        named += [literal_column(f"'{key}'"), ids.where(condition).scalar_subquery()]
    stored = func.jsonb_build_object(*named)
    values = {"board_id": task.board_id, "task_id": task.id, "rows": stored, "deleted_at": now()}
    await session.execute(insert(DeletedTask).values(id=new_id(), **values))


async def _delete_rows(session: AsyncSession, task: Task, own_approval_ids: Sequence[UUID]) -> None:
    """Delete a task and its own approvals; the next task becomes primary in shared approvals."""
    deleted = delete_rows(Approval).where(Approval.id.in_(own_approval_ids)).cte("deleted")
    next_task_id = _other_task_ids_query(task.id).limit(1).scalar_subquery()
    shared = update(Approval).where(
        Approval.task_id == task.id, Approval.id.not_in(own_approval_ids)
    )
    reassigned = shared.values(task_id=next_task_id).cte("reassigned")
    removed = delete_rows(Task).where(Task.id == task.id).add_cte(deleted, reassigned)
    await session.execute(removed.execution_options(synchronize_session=False))
    session.expunge(task)


RESTORE_ORDER = (
    Task,
    TaskDependency,
    Comment,
    TaskDescription,
    TagAssignment,
    CustomFieldValue,
    TaskLink,
    TaskWatcher,
    Approval,
    ApprovalTask,
    ToolGrant,
    ReadMarker,
)
"""The tables of a task in the order of their foreign keys."""


RESTORED_TABLES = [Base.metadata.tables[model.__tablename__] for model in RESTORE_ORDER]
REFERENCES = [
    (table.name, key.parent.name, key.column.table)
    for table in RESTORED_TABLES
    for key in table.foreign_keys
    if key.column.table not in (*RESTORED_TABLES, Board.__table__)
]
"""Columns with references outside the locked board: table, column, and the other table."""


def _build_keeping_query(other: Table) -> TextClause:
    """Build the query that keeps the rows of a table to which deleted tasks refer.

    It contains only names of our tables and columns, so the text cannot be injected.
    """
    ids = [
        f"select (stored ->> '{column}')::uuid from {DeletedTask.__tablename__} "  # noqa: S608
        f"cross join jsonb_array_elements(rows -> '{table}') as stored "
        "where board_id = :board_id and task_id = any(:task_ids)"
        for table, column, referred in REFERENCES
        if referred is other
    ]
    query = text(
        f"select id from {other.name} where id in ({' union '.join(ids)}) "  # noqa: S608
        "order by id for key share"
    )
    return query.bindparams(bindparam("task_ids", type_=ARRAY(Uuid())))


REFERRED_TABLES = sorted(
    {other for _, _, other in REFERENCES}, key=lambda one: (one is not User.__table__, one.name)
)
KEEPING_QUERIES = [_build_keeping_query(other) for other in REFERRED_TABLES]
"""Keep users, then agents and others: see `services/organizations/locks.py`."""


async def keep_references(session: AsyncSession, board: Board, task_ids: Sequence[UUID]) -> None:
    """Let deletions of what deleted tasks refer to wait until the commit, or wait for them.

    Call it once for all tasks, before the first is restored.
    """
    for query in KEEPING_QUERIES:
        await session.execute(query, {"board_id": board.id, "task_ids": list(task_ids)})


async def find_approvals_decided_since(
    session: AsyncSession, rows: Mapping[str, Any], deleted_at: datetime
) -> set[UUID]:
    """Return the approvals about a deleted task that were decided since it was deleted.

    Whoever decided did not see the task, so such an approval must not allow anything about it.
    """
    ids = [UUID(link["approval_id"]) for link in rows[ApprovalTask.__tablename__]]
    decided_at = func.coalesce(Approval.decided_at, Approval.resolved_at)
    query = select(Approval.id).where(Approval.id.in_(ids), decided_at > deleted_at)
    return set(await session.scalars(query)) if ids else set()


async def restore_rows(
    session: AsyncSession,
    board: Board,
    rows: Mapping[str, Any],
    *,
    without_links_of: Collection[UUID],
) -> None:
    """Insert the rows of a deleted task again, except for those with a missing reference.

    Links of the given approvals are left out.
    """
    edges, values = TaskDependency.__tablename__, CustomFieldValue.__tablename__
    links = ApprovalTask.__tablename__
    stored = {
        **rows,
        links: [row for row in rows[links] if UUID(row["approval_id"]) not in without_links_of],
        edges: await _without_cycles(session, board, rows[edges]),
        values: await custom_fields.filter_valid_rows(session, board, rows.get(values, [])),
    }
    for table in RESTORED_TABLES:
        if stored.get(table.name):  # a task that was deleted before the table existed has none
            await session.execute(_build_restore(table, stored[table.name]))


async def _without_cycles(
    session: AsyncSession, board: Board, rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Leave out the dependencies that would now create a cycle."""
    if not rows:
        return []
    graph = await dependencies.load_dependency_graph(session, board)
    stored = []
    for row in rows:
        task_id, dependency_id = UUID(row["task_id"]), UUID(row["depends_on_task_id"])
        if not dependencies.is_reachable(graph, [dependency_id], task_id):
            graph.setdefault(task_id, []).append(dependency_id)
            stored.append(row)
    return stored


def _build_restore(table: Table, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Build the statement that inserts JSON rows without a missing required reference.

    A missing reference in a nullable column becomes null. A column that was added after the
    deletion gets its default. The statement contains only names of our tables and columns, so the
    text cannot be injected.
    """
    required, nullable = [], []
    for key in table.foreign_keys:
        column, other = key.parent, key.column.table
        reference = f"select id from {other.name} where id = (stored ->> '{column.name}')::uuid"  # noqa: S608
        if column.nullable:
            nullable.append(f"'{column.name}', ({reference})")
        else:
            required.append(f"exists ({reference})")
    defaults = {
        column.name: column.default.arg
        for column in table.columns
        if isinstance(column.default, ScalarElementColumnDefault)
    }
    known = {*rows[0], *defaults}
    names = [
        column.name for column in table.columns if column.computed is None and column.name in known
    ]
    row = f":defaults || stored || jsonb_build_object({', '.join(nullable)})"
    statement = (
        f"insert into {table.name} ({', '.join(names)}) "  # noqa: S608
        f"select {', '.join(f'restored.{name}' for name in names)} "
        "from jsonb_array_elements(:rows) as stored "
        f"cross join jsonb_populate_record(null::{table.name}, {row}) as restored "
        f"where {' and '.join(required)} on conflict do nothing"
    )
    return text(statement).bindparams(
        bindparam("rows", rows, type_=JSONB), bindparam("defaults", defaults, type_=JSONB)
    )


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


async def list_trashed_tasks(
    source: Source, board: Board, place: PagePlace | None = None
) -> tuple[KeysetPage[TrashedTask], int]:
    """Return a page of the deleted tasks of a board, the last deleted first, and their number."""
    page = await TRASHED_TASKS.fetch_page(
        source, TRASH_PAGE_SIZE, place or PagePlace(), board_id=board.id
    )
    return page, await TRASH_COUNT.first(source, board_id=board.id) or 0


async def list_trashed_titles(
    session: AsyncSession, board: Board, task_ids: Collection[UUID]
) -> Sequence[tuple[UUID, str]]:
    """Return the ids and titles of these deleted tasks of a board, the last deleted first."""
    query = select(DeletedTask.task_id, STORED["title"].astext).where(
        DeletedTask.board_id == board.id, DeletedTask.task_id.in_(task_ids)
    )
    rows = await session.execute(query.order_by(DELETED_AT.desc(), TRASH_ID.desc()))
    return [(id, title) for id, title in rows]


async def find_trashed_task(source: Source, board: Board, task_id: UUID) -> TrashedTask | None:
    """Return a deleted task of a board that the actor may read, or None."""
    return await TRASHED_TASK.first(source, board_id=board.id, task_id=task_id)


def _build_trashed_task(row: Sequence[Any]) -> TrashedTask:
    task_id, title, status, comment_count, at, agent_id, user_id, agent, user = row
    name = user.display_name if user else agent
    return TrashedTask(task_id, title, Status(status), comment_count, at, agent_id, user_id, name)


STORED = DeletedTask.rows[Task.__tablename__][0]
LAST_DELETION = (
    select(Event.agent_id, Event.user_id)
    .where(Event.task_id == DeletedTask.task_id, Event.type == EventType.TASK_DELETED)
    .order_by(Event.created_at.desc(), Event.seq.desc())
    .limit(1)
    .lateral("last_deletion")
)
DELETER_ID = LAST_DELETION.c.agent_id
TRASHED = (
    select(
        DeletedTask.task_id,
        STORED["title"].astext,
        STORED["status"].astext,
        func.jsonb_array_length(DeletedTask.rows[Comment.__tablename__]),
        DeletedTask.deleted_at,
        DELETER_ID,
        LAST_DELETION.c.user_id,
        func.coalesce(Agent.name, events.select_deleted_agent_name(DELETER_ID)),
        User,
    )
    .select_from(DeletedTask)
    .outerjoin(LAST_DELETION, true())
    .outerjoin(Agent, Agent.id == DELETER_ID)
    .outerjoin(User, User.id == LAST_DELETION.c.user_id)
    .where(DeletedTask.board_id == BOARD_ID)
)
"""Selects the deleted tasks of the board `board_id` for `_build_trashed_task`."""

TRASH_PAGE_SIZE = 50  # tasks
DELETED_AT, TRASH_ID = DeletedTask.deleted_at, DeletedTask.id
TRASHED_TASKS: KeysetQuery[TrashedTask] = KeysetQuery(
    select(TRASH_ID).where(DeletedTask.board_id == BOARD_ID),
    [DELETED_AT.desc(), TRASH_ID.desc()],
    lambda page: TRASHED.join(page, page.c.id == TRASH_ID),
    _build_trashed_task,
)
TRASH_COUNT: Query[int] = Query(
    select(func.count()).select_from(DeletedTask).where(DeletedTask.board_id == BOARD_ID),
    itemgetter(0),
)
TRASHED_TASK: Query[TrashedTask] = Query(
    TRASHED.where(DeletedTask.task_id == bindparam("task_id")).limit(1), _build_trashed_task
)
