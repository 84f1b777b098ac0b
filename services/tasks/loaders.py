"""Load the facts that the rules need for a change of a task."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Uuid,
    func,
    null,
    select,
    union,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.errors import NotFound
from models import (
    Actor,
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    Comment,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
)
from services import custom_fields, policies
from services.tasks import dependencies
from services.tasks.change_request import TaskChange
from services.tasks.done_approvals import load_done_permission

RequestedAssignee = aliased(Agent, name="requested_assignee")


async def get_task(session: AsyncSession, board: Board, task_id: UUID) -> Task:
    """Return the current state of a task of this board. Raises NotFound."""
    query = select(Task).where(Task.id == task_id, Task.board_id == board.id)
    task = await session.scalar(query.execution_options(populate_existing=True))
    if task is None:
        raise task_not_found()
    return task


def task_not_found() -> NotFound:
    """Build the error for a task that is not on the board."""
    return NotFound("task_not_found", "There is no such task on this board.")


async def load_change(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID, changes: dict[str, Any]
) -> TaskChange:
    """Load a task and the facts for the rules about its change. Raises NotFound."""
    query = _facts_query(board, task_id, changes)
    query = query.add_columns(_lead_feedback(actor, changes).label("lead_feedback"))
    query = query.execution_options(populate_existing=True)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise task_not_found()
    facts: dict[str, Any] = {
        "current_dependency_ids": row.dependency_ids,
        "current_tag_ids": row.tag_ids,
        "open_dependency_ids": row.open_dependency_ids,
        "lead_id": row.lead_id,
        "last_worker_id": row.last_worker_id,
        "lead_feedback": row.lead_feedback,
        "assignee": row.requested_assignee,
        "approval_pending": row.approval_pending,
        "bound_fields": custom_fields.build_bound_fields(row.bound_fields or ()),
    }
    facts |= await _load_references(session, actor, board, row.Task, changes)
    change = TaskChange(actor=actor, board=board, task=row.Task, values=changes, **facts)
    if change.needs_approval:
        permission = await load_done_permission(session, change)
        change = replace(change, done_permission=permission)
    if not change.needs_comment:
        return change
    return replace(change, has_assignee_comment=await _has_assignee_comment(session, change))


async def load_creation(
    session: AsyncSession, actor: Actor, board: Board, task: Task, changes: dict[str, Any]
) -> TaskChange:
    """Load the facts for the rules about a new task."""
    # An empty list removes nothing from a task that is new.
    sent = {name: value for name, value in changes.items() if value}
    facts = await _load_references(session, actor, board, task, sent)
    query = select(
        custom_fields.bound_fields_query(board.id, of_tasks=False),
        _lead_id(board),
        RequestedAssignee,
    )
    query = query.select_from(Board).outerjoin(
        RequestedAssignee, _is_requested_assignee(board, changes)
    )
    row = await session.execute(query.where(Board.id == board.id))
    fields, facts["lead_id"], facts["assignee"] = row.one()
    facts["bound_fields"] = custom_fields.build_bound_fields(fields)
    return TaskChange(
        actor=actor, board=board, task=task, values=changes, is_creation=True, **facts
    )


async def _load_references(
    session: AsyncSession, actor: Actor, board: Board, task: Task, changes: dict[str, Any]
) -> dict[str, Any]:
    """Load the state of the tasks and tags whose ids were sent."""
    facts: dict[str, Any] = {}
    if "depends_on_task_ids" in changes:
        ids = changes["depends_on_task_ids"]
        check = await dependencies.load_dependency_check(session, board, task, ids)
        facts["open_dependency_ids"] = check.open_ids
        facts["missing_task_ids"] = check.missing_ids
        facts["creates_cycle"] = check.creates_cycle
    if changes.get("tag_ids"):
        facts["missing_tag_ids"] = await _find_missing_tags(session, board, changes["tag_ids"])
    if "tag_ids" in changes and isinstance(actor, Agent):
        facts["policy_tag_ids"] = await policies.list_named_tag_ids(session, board)
    return facts


async def _find_missing_tags(
    session: AsyncSession, board: Board, ids: Sequence[UUID]
) -> Sequence[UUID]:
    """Return the ids without a tag in the organization; lock the other tags until the commit."""
    query = select(Tag.id).where(Tag.organization_id == board.organization_id, Tag.id.in_(ids))
    query = query.order_by(Tag.id).with_for_update(read=True, key_share=True)
    found = set(await session.scalars(query))
    return [id for id in ids if id not in found]


async def _has_assignee_comment(session: AsyncSession, change: TaskChange) -> bool:
    """Say whether the new assignee, or else the current one, commented since the task started."""
    assignee_id = change.values.get("assigned_agent_id") or change.task.assigned_agent_id
    since = change.task.in_progress_at
    if assignee_id is None or since is None:
        return False
    comments = select(Comment.id).where(
        Comment.task_id == change.task.id,
        Comment.agent_id == assignee_id,
        Comment.created_at >= since,
    )
    return bool(await session.scalar(select(comments.exists())))


def _facts_query(
    board: Board, task_id: UUID, changes: Mapping[str, Any]
) -> Select[*tuple[Any, ...]]:
    has_values = "custom_field_values" in changes
    fields = custom_fields.bound_fields_query(board.id, of_tasks=True) if has_values else null()
    return (
        select(
            Task,
            _id_array(_dependency_ids(), "dependency_ids"),
            _id_array(_open_dependency_ids(), "open_dependency_ids"),
            _id_array(_tag_ids(), "tag_ids"),
            _lead_id(board).label("lead_id"),
            _last_worker_id().label("last_worker_id"),
            RequestedAssignee,
            fields.label("bound_fields"),
            _has_pending_approval(board).label("approval_pending"),
        )
        .select_from(Task)
        .outerjoin(RequestedAssignee, _is_requested_assignee(board, changes))
        .where(Task.id == task_id, Task.board_id == board.id)
    )


def approval_ids_query() -> CompoundSelect[UUID]:
    """Select the approvals of the enclosing query's task, linked or as their primary task."""
    links = select(ApprovalTask.approval_id).where(ApprovalTask.task_id == Task.id)
    primary = aliased(Approval)
    primaries = select(primary.id).where(primary.task_id == Task.id)
    return union(links.correlate(Task), primaries.correlate(Task))


def _has_pending_approval(board: Board) -> ColumnElement[bool]:
    pending = Approval.status == ApprovalStatus.PENDING
    query = select(Approval.id).where(Approval.board_id == board.id, pending)
    return query.where(Approval.id.in_(approval_ids_query())).correlate(Task).exists()


def _dependency_ids() -> Select[UUID]:
    edge = TaskDependency
    query = select(edge.depends_on_task_id).where(edge.task_id == Task.id).correlate(Task)
    return query.order_by(edge.position, edge.created_at, edge.id)


def _open_dependency_ids() -> Select[UUID]:
    other = Task.__table__.alias("other")
    query = _dependency_ids().join(other, other.c.id == TaskDependency.depends_on_task_id)
    return query.where(other.c.status != Status.DONE)


def _tag_ids() -> Select[UUID]:
    edge = TagAssignment
    query = select(edge.tag_id).where(edge.task_id == Task.id).correlate(Task)
    return query.order_by(edge.position, edge.created_at, edge.id)


def _id_array(ids: Select[UUID], name: str) -> ColumnElement[Sequence[UUID]]:
    return func.array(ids.scalar_subquery(), type_=ARRAY(Uuid())).label(name)


def _lead_id(board: Board) -> ColumnElement[UUID]:
    query = select(Agent.id).where(Agent.board_id == board.id, Agent.is_board_lead)
    return query.limit(1).scalar_subquery()


def _is_requested_assignee(board: Board, changes: Mapping[str, Any]) -> ColumnElement[bool]:
    """Match the requested assignee, if it is an agent of the organization."""
    in_organization = RequestedAssignee.organization_id == board.organization_id
    return in_organization & (RequestedAssignee.id == changes.get("assigned_agent_id"))


def _lead_feedback(actor: Actor, changes: Mapping[str, Any]) -> ColumnElement[Any]:
    """Select the last comment of a lead that returns the task to the inbox."""
    is_lead = isinstance(actor, Agent) and actor.is_board_lead
    if not is_lead or changes.get("status") is not Status.INBOX:
        return null()
    query = select(Comment.message).where(Comment.task_id == Task.id, Comment.agent_id == actor.id)
    latest = query.order_by(Comment.created_at.desc(), Comment.id.desc()).limit(1)
    return latest.correlate(Task).scalar_subquery()


def _last_worker_id() -> ColumnElement[UUID]:
    query = select(Agent.id).where(
        Agent.id == Task.previous_assignee_id,
        Agent.board_id == Task.board_id,
        Agent.is_board_lead.is_(False),
    )
    return query.correlate(Task).scalar_subquery()
