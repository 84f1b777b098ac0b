"""Loading the facts that the rules look at."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    Uuid,
    func,
    null,
    or_,
    select,
    true,
    union,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from kit.errors import NotFound
from models import (
    Actor,
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    Comment,
    Event,
    EventType,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
)
from services import custom_fields
from services.tasks import dependencies
from services.tasks.wishes import Approvals, Wish

Wanted = aliased(Agent, name="wanted")


async def find(session: AsyncSession, board: Board, task_id: UUID) -> Task:
    """Return a task of this board as it stands now. Raises NotFound."""
    query = select(Task).where(Task.id == task_id, Task.board_id == board.id)
    task = await session.scalar(query.execution_options(populate_existing=True))
    if task is None:
        raise no_such_task()
    return task


def no_such_task() -> NotFound:
    """Return the refusal of a task that is not on the board."""
    return NotFound("task_not_found", "There is no such task on this board.")


async def look(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID, changes: dict[str, Any]
) -> Wish:
    """Load the task and all that the rules need to know about a change of it. Raises NotFound."""
    query = _facts(board, task_id, changes)
    query = query.add_columns(_last_word(actor, changes).label("last_word"))
    query = query.execution_options(populate_existing=True)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise no_such_task()
    facts: dict[str, Any] = {
        "depends_on": row.depends_on,
        "tagged": row.tagged,
        "waits_for": row.waits_for,
        "lead_id": row.lead_id,
        "last_worker_id": row.last_worker_id,
        "last_word": row.last_word,
        "assignee": row.wanted,
        "approvals": Approvals(
            bool(row.pending), row.approved_at, row.rejected_at, row.taken_up_at
        ),
        "fields": custom_fields.bound_fields(row.fields or ()),
    }
    facts |= await _named(session, board, row.Task, changes)
    wish = Wish(actor=actor, board=board, task=row.Task, changes=changes, **facts)
    if not wish.needs_a_comment:
        return wish
    return replace(wish, commented=await _commented(session, wish))


async def look_ahead(
    session: AsyncSession, actor: Actor, board: Board, task: Task, changes: dict[str, Any]
) -> Wish:
    """Load all that the rules need to know about a task to be."""
    facts = await _named(session, board, task, changes)
    around = select(custom_fields.bound(board.id, of_tasks=False), _lead(board), Wanted)
    around = around.select_from(Board).outerjoin(Wanted, _is_wanted(board, changes))
    row = await session.execute(around.where(Board.id == board.id))
    fields, facts["lead_id"], facts["assignee"] = row.one()
    facts["fields"] = custom_fields.bound_fields(fields)
    return Wish(actor=actor, board=board, task=task, changes=changes, **facts)


async def _named(
    session: AsyncSession, board: Board, task: Task, changes: dict[str, Any]
) -> dict[str, Any]:
    """Look up what a change names by id: tasks and tags."""
    facts: dict[str, Any] = {}
    if "depends_on_task_ids" in changes:
        ids = changes["depends_on_task_ids"]
        stand = await dependencies.standing(session, board, task, ids)
        facts["waits_for"] = stand.waits_for
        facts["missing_task_ids"] = stand.missing
        facts["closes_a_circle"] = stand.closes_a_circle
    if changes.get("tag_ids"):
        facts["missing_tag_ids"] = await _missing_tags(session, board, changes["tag_ids"])
    return facts


async def _missing_tags(session: AsyncSession, board: Board, ids: Sequence[UUID]) -> Sequence[UUID]:
    """Return the ids that name no tag of the organization. The others stay until the commit."""
    query = select(Tag.id).where(Tag.organization_id == board.organization_id, Tag.id.in_(ids))
    query = query.order_by(Tag.id).with_for_update(read=True, key_share=True)
    found = set(await session.scalars(query))
    return [id for id in ids if id not in found]


async def _commented(session: AsyncSession, wish: Wish) -> bool:
    """Say whether whoever holds the task commented on it since it was begun."""
    holder = wish.changes.get("assigned_agent_id") or wish.task.assigned_agent_id
    since = wish.task.in_progress_at
    if holder is None or since is None:
        return False
    comments = select(Comment.id).where(
        Comment.task_id == wish.task.id, Comment.agent_id == holder, Comment.created_at >= since
    )
    return bool(await session.scalar(select(comments.exists())))


def _facts(board: Board, task_id: UUID, changes: Mapping[str, Any]) -> Select[*tuple[Any, ...]]:
    linked = _linked_approvals(board)
    asked = "custom_field_values" in changes
    fields = custom_fields.bound(board.id, of_tasks=True) if asked else null()
    return (
        select(
            Task,
            _array(_depends_on(), "depends_on"),
            _array(_waits_for(), "waits_for"),
            _array(_tag_ids(), "tagged"),
            _lead(board).label("lead_id"),
            _last_worker().label("last_worker_id"),
            _taken_up_at().label("taken_up_at"),
            Wanted,
            fields.label("fields"),
            linked.c.pending,
            linked.c.approved_at,
            linked.c.rejected_at,
        )
        .select_from(Task)
        .join(linked, true())
        .outerjoin(Wanted, _is_wanted(board, changes))
        .where(Task.id == task_id, Task.board_id == board.id)
    )


def approval_ids() -> CompoundSelect[UUID]:
    """Select the approvals about a task of the enclosing query: by a link, or as their first."""
    links = select(ApprovalTask.approval_id).where(ApprovalTask.task_id == Task.id)
    first = aliased(Approval)
    firsts = select(first.id).where(first.task_id == Task.id)
    return union(links.correlate(Task), firsts.correlate(Task))


def _linked_approvals(board: Board) -> FromClause:
    def latest(status: ApprovalStatus) -> ColumnElement[datetime | None]:
        return func.max(Approval.resolved_at).filter(Approval.status == status)

    return (
        select(
            func.bool_or(Approval.status == ApprovalStatus.PENDING).label("pending"),
            latest(ApprovalStatus.APPROVED).label("approved_at"),
            latest(ApprovalStatus.REJECTED).label("rejected_at"),
        )
        .where(Approval.board_id == board.id, Approval.id.in_(approval_ids()))
        .lateral("linked")
    )


def _depends_on() -> Select[UUID]:
    edge = TaskDependency
    query = select(edge.depends_on_task_id).where(edge.task_id == Task.id).correlate(Task)
    return query.order_by(edge.position, edge.created_at, edge.id)


def _waits_for() -> Select[UUID]:
    other = Task.__table__.alias("other")
    awaited = _depends_on().join(other, other.c.id == TaskDependency.depends_on_task_id)
    return awaited.where(other.c.status != Status.DONE)


def _tag_ids() -> Select[UUID]:
    edge = TagAssignment
    query = select(edge.tag_id).where(edge.task_id == Task.id).correlate(Task)
    return query.order_by(edge.position, edge.created_at, edge.id)


def _array(ids: Select[UUID], name: str) -> ColumnElement[Sequence[UUID]]:
    return func.array(ids.scalar_subquery(), type_=ARRAY(Uuid())).label(name)


def _lead(board: Board) -> ColumnElement[UUID]:
    query = select(Agent.id).where(Agent.board_id == board.id, Agent.is_board_lead)
    return query.limit(1).scalar_subquery()


def _is_wanted(board: Board, changes: Mapping[str, Any]) -> ColumnElement[bool]:
    """Select the agent that shall have the task, if there is one in the organization."""
    here = Wanted.organization_id == board.organization_id
    return here & (Wanted.id == changes.get("assigned_agent_id"))


def _last_word(actor: Actor, changes: Mapping[str, Any]) -> ColumnElement[Any]:
    """Select what a lead has said last about a task that it sends back."""
    leads = isinstance(actor, Agent) and actor.is_board_lead
    if not leads or changes.get("status") is not Status.INBOX:
        return null()
    said = select(Comment.message).where(Comment.task_id == Task.id, Comment.agent_id == actor.id)
    latest = said.order_by(Comment.created_at.desc(), Comment.id.desc()).limit(1)
    return latest.correlate(Task).scalar_subquery()


def _last_worker() -> ColumnElement[UUID]:
    query = select(Agent.id).where(
        Agent.id == Task.previous_assignee_id,
        Agent.board_id == Task.board_id,
        Agent.is_board_lead.is_(False),
    )
    return query.correlate(Task).scalar_subquery()


def _taken_up_at() -> ColumnElement[datetime]:
    """Select when the task was last sent back to work that somebody had thought to be finished."""
    left, entered = Event.data["left"].astext, Event.data["entered"].astext
    sent_back = (left == Status.REVIEW.value) & (entered != Status.DONE.value)
    query = select(func.max(Event.created_at)).where(
        Event.task_id == Task.id,
        Event.type == EventType.TASK_STATUS_CHANGED,
        or_(left == Status.DONE.value, sent_back),
    )
    return query.correlate(Task).scalar_subquery()
