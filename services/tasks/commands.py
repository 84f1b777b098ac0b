"""Create, update and unassign tasks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.validation import KnownVersions, check_version
from models import Actor, Agent, Board, EventType, Status, Task, User, new_id
from services import boards, custom_fields, tags
from services.tasks import dependencies
from services.tasks.change_request import TaskChange, TaskDraft, validate_changes
from services.tasks.comments import insert_comment
from services.tasks.details import TaskDetail, get_task_detail
from services.tasks.done_approvals import mark_approval_used
from services.tasks.events import TaskEvent, publish_events
from services.tasks.loaders import load_change, load_creation
from services.tasks.notifications import (
    build_change_messages,
    build_comment_messages,
    build_creation_messages,
)
from services.tasks.rules import check_change, check_creation, check_may_create_and_delete
from services.tasks.transitions import apply_column_values, inbox_column_values, new_column_values

OPEN_STATUSES = (Status.INBOX, Status.IN_PROGRESS, Status.REVIEW)


async def create_task(
    session: AsyncSession, actor: Actor, board: Board, draft: TaskDraft
) -> TaskDetail:
    """Create a task on a locked board. Only users and the board's lead may.

    Raises NotFound, Forbidden, Conflict or Invalid; see change_request.py and rules.py.
    """
    check_may_create_and_delete(actor, board)
    at = now()
    task = _empty_task(actor, board, at)
    change = await load_creation(session, actor, board, task, validate_changes(draft.as_changes()))
    if isinstance(actor, Agent) and (change.is_assigning or change.new_status is not Status.INBOX):
        await boards.check_agents_may_work(session, board)
    check_creation(change)
    apply_column_values(task, new_column_values(change, at), at)
    session.add(task)
    await session.flush()
    await dependencies.add_dependencies(session, task, change.values["depends_on_task_ids"])
    await tags.add_task_tags(session, task, change.values["tag_ids"])
    await custom_fields.store_initial_values(
        session, task, change.bound_fields, change.values["custom_field_values"]
    )
    task_events = [TaskEvent(EventType.TASK_CREATED, task, _creation_data(task))]
    await publish_events(
        session, actor, board, task_events, outgoing=[*build_creation_messages(change)]
    )
    return await get_task_detail(session, board, task.id)


async def update_task(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    task_id: UUID,
    changes: Mapping[str, object],
    *,
    known: KnownVersions = None,
) -> TaskDetail:
    """Update a task on a locked board within the rules for this actor.

    Keys that the contract's TaskUpdate does not have are ignored. An update without a difference
    is recorded too. Raises NotFound, Forbidden, Conflict or Invalid (see change_request.py and
    rules.py), and PreconditionFailed if the task's version is not among the `known` ones.
    """
    change = await load_change(session, actor, board, task_id, validate_changes(changes))
    if change.is_agent_work:
        await boards.check_agents_may_work(session, board)
    check_change(change)
    check_version(known, change.task.version)
    at = now()
    task, old_status, new_status = change.task, change.task.status, change.new_status
    old_assignee_id = task.assigned_agent_id
    crosses_done = (old_status is Status.DONE) != (new_status is Status.DONE)
    dependents = await dependencies.list_open_dependents(session, task) if crosses_done else []
    recorded = apply_column_values(task, new_column_values(change, at), at)
    recorded |= await _store_relations(session, change)
    if change.done_permission.approval is not None:
        await mark_approval_used(session, change.done_permission.approval)
    outgoing = [
        *build_change_messages(change, old_status=old_status, old_assignee_id=old_assignee_id)
    ]
    task_events = [_change_event(change, old_status, recorded)]
    task_events += [_dependent_event(task, other, at) for other in dependents]
    if "comment" in change.values:
        comment = insert_comment(session, actor, task, change.values["comment"], at)
        task_events.insert(0, TaskEvent(EventType.TASK_COMMENT, task, id=comment.id))
        outgoing += await build_comment_messages(session, actor, board, comment)
    await publish_events(session, actor, board, task_events, outgoing=outgoing)
    return await get_task_detail(session, board, task.id)


def _empty_task(actor: Actor, board: Board, at: datetime) -> Task:
    by_agent = isinstance(actor, Agent)
    return Task(
        id=new_id(),
        board_id=board.id,
        status=Status.INBOX,
        created_by_user_id=actor.id if isinstance(actor, User) else None,
        auto_created=by_agent,
        auto_reason=f"lead_agent:{actor.id}" if by_agent else None,
        version=0,
        created_at=at,
    )


def _creation_data(task: Task) -> dict[str, object]:
    assignee = task.assigned_agent_id
    return {
        "entered": task.status.value,
        "assigned_agent_id": str(assignee) if assignee else None,
    }


async def _store_relations(session: AsyncSession, change: TaskChange) -> dict[str, object]:
    """Store the dependencies, tags and custom field values, and return what changed."""
    recorded: dict[str, object] = {}
    for name, before, store in [
        ("depends_on_task_ids", change.current_dependency_ids, dependencies.replace_dependencies),
        ("tag_ids", change.current_tag_ids, tags.replace_task_tags),
    ]:
        after = change.values.get(name)
        if after is not None and after != before:
            await store(session, change.task, after)
            recorded[name] = [[str(id) for id in before], [str(id) for id in after]]
    given = change.values.get("custom_field_values", {})
    await custom_fields.store_values(session, change.task, change.bound_fields, given)
    differences = custom_fields.diff_values(change.bound_fields, given)
    return recorded | {f"custom_field_values.{key}": pair for key, pair in differences.items()}


def _change_event(change: TaskChange, old_status: Status, recorded: dict[str, object]) -> TaskEvent:
    task = change.task
    if old_status is task.status:
        return TaskEvent(EventType.TASK_UPDATED, task, {"changes": recorded})
    moved = {"left": old_status.value, "entered": task.status.value, "changes": recorded}
    if change.done_permission.approval is not None:
        moved["approval_id"] = str(change.done_permission.approval.id)
    return TaskEvent(EventType.TASK_STATUS_CHANGED, task, moved)


def _dependent_event(task: Task, dependent: Task, at: datetime) -> TaskEvent:
    """Build the event for a dependent of a task that entered or left done.

    If the task left done, a dependent that is assigned or was started returns to the inbox.
    """
    if task.status is Status.DONE:
        return TaskEvent(EventType.TASK_UPDATED, dependent, {"completed_task_id": str(task.id)})
    reason = {"reopened_task_id": str(task.id)}
    is_in_inbox = dependent.status is Status.INBOX
    if is_in_inbox and not dependent.assigned_agent_id and not dependent.in_progress_at:
        return TaskEvent(EventType.TASK_UPDATED, dependent, reason)
    return return_to_inbox(dependent, reason, at)


async def unassign_agent_tasks(
    session: AsyncSession, board: Board, agent: Agent
) -> Sequence[TaskEvent]:
    """Unassign the open tasks of an agent that leaves a locked board.

    Tasks in progress return to the inbox; the others keep their status. The caller publishes the
    returned events after it has changed the agent.
    """
    query = select(Task).where(
        Task.board_id == board.id,
        Task.assigned_agent_id == agent.id,
        Task.status.in_(OPEN_STATUSES),
    )
    query = query.order_by(Task.created_at, Task.id).execution_options(populate_existing=True)
    at = now()
    return [unassign_task(task, at) for task in await session.scalars(query)]


def unassign_task(task: Task, at: datetime) -> TaskEvent:
    """Remove the assignee of an open task; return it to the inbox if it is in progress."""
    if task.status is Status.IN_PROGRESS:
        return return_to_inbox(task, {}, at)
    recorded = apply_column_values(task, {"assigned_agent_id": None}, at)
    return TaskEvent(EventType.TASK_UPDATED, task, {"changes": recorded})


def return_to_inbox(task: Task, reason: Mapping[str, object], at: datetime) -> TaskEvent:
    """Move a task to the inbox and remove its assignee."""
    old_status = task.status
    recorded = apply_column_values(task, inbox_column_values(task, at), at)
    moved = {"left": old_status.value, "entered": task.status.value, "changes": recorded}
    return TaskEvent(EventType.TASK_STATUS_CHANGED, task, moved | dict(reason))
