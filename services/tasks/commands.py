"""Create, update and unassign tasks."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, bindparam, insert, inspect, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.clock import now
from core.db.transactions import Write
from core.fields import KnownVersions, check_version
from models import (
    OPEN_STATUSES,
    Actor,
    Agent,
    ApprovalTask,
    Board,
    BoardAccess,
    EventType,
    Member,
    Status,
    Task,
    User,
    new_id,
    rank_at,
)
from services import agents, boards, custom_fields, events, messages, tags
from services.organizations import AccessLoss
from services.tasks import dependencies
from services.tasks.change_facts import load_change, load_creation
from services.tasks.change_request import (
    ASSIGNMENT_FIELDS,
    TaskChange,
    TaskCreate,
    TaskUpdate,
)
from services.tasks.descriptions import store_description
from services.tasks.notifications import (
    build_change_messages,
    build_comment_messages,
    build_creation_messages,
)
from services.tasks.queries import TaskDetail, get_task_detail
from services.tasks.rules import check_change, check_creation, check_may_create_and_delete
from services.tasks.storage import (
    TaskEvent,
    build_events,
    insert_comment,
    list_changed_tasks,
    publish_events,
    store_tasks,
)
from services.tasks.transitions import apply_column_values, entry_values, new_column_values
from services.tasks.user_notifications import TaskNotifications, TaskState, notify_about_change

MAX_BULK_TASKS = 500  # that are changed, deleted or restored at once
NOBODY: Mapping[str, None] = dict.fromkeys(ASSIGNMENT_FIELDS)
TASK_COLUMNS = [attribute.key for attribute in inspect(Task).column_attrs]
INSERT_TASK = Write(insert(Task).inline(), TASK_COLUMNS)
"""Inserts a task, which does not become an object of the session."""
USE_APPROVAL = Write(
    update(ApprovalTask)
    .where(ApprovalTask.id == bindparam("link_id", type_=Uuid()))
    .values(used_at=bindparam("at"))
)
"""Records that a task was moved to done with the approval of this link."""


async def create_task(
    session: AsyncSession,
    actor: Actor | None,
    board: Board,
    fields: TaskCreate,
    *,
    webhook: str = "",
    sends_messages: bool = True,
    may_decide: bool = True,
) -> TaskDetail:
    """Create a task on a locked board. Only users, the board's lead and webhooks may.

    Without an actor, `webhook` is the name of the one that creates it. Without `sends_messages` the
    caller tells the agents of it. Without `may_decide` the token of the user may not change what
    decides about approvals. Raises NotFound, Forbidden, Conflict or Invalid; see change_request.py
    and rules.py.
    """
    check_may_create_and_delete(actor, board)
    at = now()
    by_agent = isinstance(actor, Agent)
    task = Task(
        id=new_id(),
        board_id=board.id,
        status=Status.INBOX,
        rank=rank_at(at),
        created_by_user_id=actor.id if isinstance(actor, User) else None,
        auto_created=by_agent,
        auto_reason=f"lead_agent:{actor.id}" if by_agent else None,
        version=0,
        created_at=at,
    )
    change = await load_creation(
        session, actor, board, task, fields.as_changes(), may_decide=may_decide
    )
    if isinstance(actor, Agent) and (change.is_assigning or change.new_status is not Status.INBOX):
        await boards.check_agent_may_work(session, board, actor)
    await _run_check(check_creation, change)
    apply_column_values(task, new_column_values(change, at), at)
    await INSERT_TASK.execute(session, **{name: getattr(task, name) for name in TASK_COLUMNS})
    await dependencies.add_dependencies(session, task, change.values["depends_on_task_ids"])
    await tags.add_task_tags(session, task, change.values["tag_ids"])
    await custom_fields.store_initial_values(
        session, task, change.bound_fields, change.values["custom_field_values"]
    )
    agent_id, user_id = task.assigned_agent_id, task.assigned_user_id
    await TaskNotifications(
        actor=actor,
        board=board,
        task=task,
        text=task.description,
        new_user_id=user_id,
        is_new=True,
    ).send(session)
    created = {
        "entered": task.status.value,
        "assigned_agent_id": str(agent_id) if agent_id else None,
        **({"webhook": webhook} if webhook else {}),
        **({"assigned_user_id": str(user_id)} if user_id else {}),
    }
    task_events = [TaskEvent(EventType.TASK_CREATED, task, created)]
    outgoing = [*build_creation_messages(change)] if sends_messages else []
    detail = await get_task_detail(session, board, task.id)  # before others have to wait
    await publish_events(session, actor, board, task_events, outgoing=outgoing)
    return detail


async def _run_check(check: Callable[[TaskChange], None], change: TaskChange) -> None:
    given = change.values.get("custom_field_values", {})
    patterned = custom_fields.list_patterned(change.bound_fields, given)
    await custom_fields.run_check(partial(check, change), patterned)


async def update_task(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    task_id: UUID,
    fields: TaskUpdate,
    *,
    known: KnownVersions = None,
    may_decide: bool = True,
) -> TaskDetail:
    """Update a task on a locked board within the rules for this actor.

    An update without a difference is recorded too. `may_decide` is that of `create_task`. Raises
    NotFound, Forbidden, Conflict or Invalid (see rules.py), and PreconditionFailed if the task's
    version is not among the `known` ones.
    """
    change = await load_change(
        session, actor, board, task_id, fields.changes(), may_decide=may_decide
    )
    if isinstance(actor, Agent) and change.is_agent_work:
        await boards.check_agent_may_work(session, board, actor)
    await _run_check(check_change, change)
    check_version(known, change.task.version)
    task, at = change.task, now()
    before, comment = TaskState.of(task), None
    crosses_done = (before.status is Status.DONE) != (change.new_status is Status.DONE)
    dependents = await dependencies.list_open_dependents(session, task) if crosses_done else []
    recorded = apply_column_values(task, new_column_values(change, at), at)
    recorded |= await _store_relations(session, change)
    await store_description(session, actor, task, before.description, at)
    if change.done_permission.approval is not None:
        link_id = change.done_permission.approval.link_id
        await USE_APPROVAL.execute(session, link_id=link_id, at=at)
    outgoing = [*build_change_messages(change, before)]
    task_events = [_change_event(change, before.status, recorded)]
    task_events += [_dependent_event(task, other, at) for other in dependents]
    await store_tasks(session, list_changed_tasks(task_events))
    if "comment" in change.values:
        comment = await insert_comment(session, actor, task, change.values["comment"], at)
        task_events.insert(0, TaskEvent(EventType.TASK_COMMENT, task, id=comment.id))
        outgoing += await build_comment_messages(session, actor, board, task, comment)
    await notify_about_change(session, change, before, comment)
    detail = await get_task_detail(session, board, task.id)  # before others have to wait
    await publish_events(session, actor, board, task_events, outgoing=outgoing)
    return detail


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


async def unassign_departing_agent(
    session: AsyncSession, departure: agents.AgentDeparture
) -> list[events.NewEvent]:
    """Unassign the open tasks of an agent that leaves a locked board.

    Tasks in progress return to the inbox; the others keep their status.
    """
    is_assigned = Task.assigned_agent_id == departure.agent.id
    task_events = await unassign_tasks(session, departure.board, is_assigned)
    return build_events(departure.actor, departure.board, task_events)


async def unassign_gateway_agents(
    session: AsyncSession, change: boards.BoardGatewayChange
) -> list[events.NewEvent]:
    """Unassign the open tasks of agents that manage other gateways than that of a board."""
    board = change.board
    of_others = select(Agent.id).where(
        Agent.board_id.is_(None), Agent.gateway_id.is_distinct_from(board.gateway_id)
    )
    task_events = await unassign_tasks(session, board, Task.assigned_agent_id.in_(of_others))
    return build_events(change.actor, board, task_events)


async def unassign_tasks(
    session: AsyncSession, board: Board, condition: ColumnElement[bool]
) -> Sequence[TaskEvent]:
    """Unassign the open tasks of a locked board that match a condition, as above."""
    is_open = Task.status.in_(OPEN_STATUSES)
    query = select(Task).where(Task.board_id == board.id, condition, is_open)
    query = query.order_by(Task.created_at, Task.id).execution_options(populate_existing=True)
    at = now()
    task_events = [unassign_task(task, at) for task in await session.scalars(query)]
    await store_tasks(session, list_changed_tasks(task_events))
    return task_events


def unassign_task(task: Task, at: datetime) -> TaskEvent:
    """Remove the assignee of an open task; return it to the inbox if it is in progress.

    The caller stores the task.
    """
    if task.status is Status.IN_PROGRESS:
        return return_to_inbox(task, {}, at, dict(NOBODY))
    recorded = apply_column_values(task, NOBODY, at)
    return TaskEvent(EventType.TASK_UPDATED, task, {"changes": recorded})


def return_to_inbox(
    task: Task,
    reason: Mapping[str, object],
    at: datetime,
    assignees: Mapping[str, None] | None = None,
) -> TaskEvent:
    """Move a task to the inbox and remove its agent; a person keeps it without `assignees`.

    The caller stores it.
    """
    old_status = task.status
    new_values = {"status": Status.INBOX, "assigned_agent_id": None, **(assignees or {})}
    new_values |= entry_values(task, Status.INBOX, at)
    recorded = apply_column_values(task, new_values, at)
    moved = {"left": old_status.value, "entered": task.status.value, "changes": recorded}
    return TaskEvent(EventType.TASK_STATUS_CHANGED, task, moved | dict(reason))


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

    Assigning a task does not lock the membership of the person, so both can happen at the same
    time. The worker then finds the task, and those of boards that others have locked. See
    docs/decisions/assignees.md.
    """
    is_lost = Task.assigned_user_id.is_not(None) & Task.status.in_(OPEN_STATUSES)
    is_lost &= ~_can_assignee_read()
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
