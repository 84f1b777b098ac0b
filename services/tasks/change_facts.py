"""Load the facts that the rules need for a change of a task."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Uuid,
    and_,
    bindparam,
    func,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.clock import now
from core.db.reads import Query
from models import (
    Actor,
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    Comment,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
    TaskWatcher,
)
from services import boards, custom_fields, desired_state, policies
from services.tasks import dependencies
from services.tasks.change_request import ASSIGNMENT_FIELDS, RUN_SILENCE, TaskChange
from services.tasks.done_approvals import load_done_permission
from services.tasks.queries import BOARD_ID, TASK_ID, approval_ids_query, task_not_found

RequestedAssignee = aliased(Agent, name="requested_assignee")
AUTHOR_ID = bindparam("author_id", type_=Uuid())


async def load_change(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    task_id: UUID,
    changes: dict[str, Any],
    *,
    may_decide: bool,
) -> TaskChange:
    """Load a task and the facts for the rules about its change. Raises NotFound."""
    is_lead = isinstance(actor, Agent) and actor.is_board_lead
    query = _build_facts_query(
        with_fields="custom_field_values" in changes,
        with_feedback=is_lead and changes.get("status") is Status.INBOX,  # returns it to its worker
    )
    row = await query.first(
        session,
        board_id=board.id,
        organization_id=board.organization_id,
        task_id=task_id,
        assignee_id=changes.get("assigned_agent_id"),
        actor_id=actor.id,
    )
    if row is None:
        raise task_not_found()
    facts = row._asdict()
    task = facts.pop("task")
    facts["bound_fields"] = custom_fields.build_bound_fields(row.bound_fields or ())
    facts |= await _load_references(session, actor, board, task, changes, may_decide=may_decide)
    named_at = task.claimed_run_at
    facts["is_run_silent"] = named_at is not None and named_at < now() - RUN_SILENCE
    change = TaskChange(actor=actor, board=board, task=task, values=changes, **facts)
    if change.needs_approval:
        permission = await load_done_permission(session, change)
        change = replace(change, done_permission=permission)
    if not change.needs_comment:
        return change
    return replace(change, has_assignee_comment=await _has_assignee_comment(session, change))


async def load_creation(
    session: AsyncSession,
    actor: Actor | None,
    board: Board,
    task: Task,
    changes: dict[str, Any],
    *,
    may_decide: bool,
) -> TaskChange:
    """Load the facts for the rules about a new task."""
    # An empty list removes nothing from a task that is new.
    sent = {name: value for name, value in changes.items() if value}
    facts = await _load_references(session, actor, board, task, sent, may_decide=may_decide)
    row = await CREATION_FACTS.first(
        session,
        board_id=board.id,
        organization_id=board.organization_id,
        assignee_id=changes.get("assigned_agent_id"),
    )
    assert row is not None  # the board is locked
    fields, facts["lead_id"], facts["assignee"] = row
    facts["bound_fields"] = custom_fields.build_bound_fields(fields)
    return TaskChange(
        actor=actor, board=board, task=task, values=changes, is_creation=True, **facts
    )


async def _load_references(
    session: AsyncSession,
    actor: Actor | None,
    board: Board,
    task: Task,
    changes: dict[str, Any],
    *,
    may_decide: bool,
) -> dict[str, Any]:
    """Load the state of the tasks and tags whose ids were sent."""
    facts: dict[str, Any] = {}
    if "depends_on_task_ids" in changes:
        ids = changes["depends_on_task_ids"]
        check = await dependencies.load_dependency_check(session, board, task, ids)
        facts["open_dependency_ids"] = check.open_ids
        facts["missing_task_ids"] = check.missing_ids
        facts["creates_cycle"] = check.creates_cycle
    if ids := changes.get("tag_ids"):  # those that are found are locked until the commit
        rows = await LOCKED_TAGS.fetch(session, organization_id=board.organization_id, tag_ids=ids)
        found = {id for (id,) in rows}
        facts["missing_tag_ids"] = [id for id in ids if id not in found]
    if changes.get("assigned_user_id"):
        facts["can_user_read"] = await boards.can_user_read(
            session, board, changes["assigned_user_id"]
        )
    if "tag_ids" in changes and (isinstance(actor, Agent) or not may_decide):
        facts["policy_tag_ids"] = await policies.list_named_tag_ids(session, board)
    return facts


async def _has_assignee_comment(session: AsyncSession, change: TaskChange) -> bool:
    """Say whether the new assignee, or else the current one, commented since the task started."""
    named = [change.values.get(name) for name in ASSIGNMENT_FIELDS]
    current = [getattr(change.task, name) for name in ASSIGNMENT_FIELDS]
    assignee_id = next((id for id in (*named, *current) if id is not None), None)
    since = change.task.in_progress_at
    if assignee_id is None or since is None:
        return False
    ids = {"task_id": change.task.id, "author_id": assignee_id}
    return await COMMENT_SINCE.first(session, since=since, **ids) is not None


class TaskFacts(NamedTuple):
    """A task with the facts about it that the rules need; fields of a TaskChange."""

    task: Task
    current_dependency_ids: Sequence[UUID]
    open_dependency_ids: Sequence[UUID]
    current_tag_ids: Sequence[UUID]
    watcher_ids: Sequence[UUID]
    lead_id: UUID | None
    last_worker_id: UUID | None
    assignee: Agent | None  # that the change requests
    bound_fields: Any  # None if no values are sent
    approval_pending: bool
    lead_feedback: str | None


@cache
def _build_facts_query(*, with_fields: bool, with_feedback: bool) -> Query[TaskFacts]:
    """Build the query of a task with its facts."""
    edge, tag_edge, other = TaskDependency, TagAssignment, Task.__table__.alias("other")
    dependency_ids = (
        select(edge.depends_on_task_id)
        .where(edge.task_id == Task.id)
        .order_by(edge.position, edge.created_at, edge.id)
    )
    open_dependency_ids = dependency_ids.join(other, other.c.id == edge.depends_on_task_id).where(
        other.c.status != Status.DONE
    )
    tag_ids = (
        select(tag_edge.tag_id)
        .where(tag_edge.task_id == Task.id)
        .order_by(tag_edge.position, tag_edge.created_at, tag_edge.id)
    )
    watcher_ids = select(TaskWatcher.user_id).where(TaskWatcher.task_id == Task.id)
    last_worker_id = select(Agent.id).where(
        Agent.id == Task.previous_assignee_id,
        Agent.board_id == Task.board_id,
        Agent.is_board_lead.is_(False),
        desired_state.IS_NOT_BEING_REMOVED,
    )
    is_pending = Approval.status == ApprovalStatus.PENDING
    pending = select(Approval.id).where(Approval.board_id == BOARD_ID, is_pending)
    feedback = (  # the last comment of the actor on the task
        select(Comment.message)
        .where(Comment.task_id == Task.id, Comment.agent_id == bindparam("actor_id"))
        .order_by(Comment.created_at.desc(), Comment.id.desc())
        .limit(1)
    )
    query = (
        select(
            Task,
            _build_id_array(dependency_ids),
            _build_id_array(open_dependency_ids),
            _build_id_array(tag_ids),
            _build_id_array(watcher_ids),
            LEAD_ID,
            last_worker_id.correlate(Task).scalar_subquery(),
            RequestedAssignee,
            custom_fields.bound_fields_query(BOARD_ID, of_tasks=True) if with_fields else null(),
            pending.where(Approval.id.in_(approval_ids_query())).correlate(Task).exists(),
            feedback.correlate(Task).scalar_subquery() if with_feedback else null(),
        )
        .select_from(Task)
        .outerjoin(RequestedAssignee, IS_REQUESTED_ASSIGNEE)
        .where(Task.id == TASK_ID, Task.board_id == BOARD_ID)
    )
    return Query(query.execution_options(populate_existing=True), TaskFacts._make)


def _build_id_array(ids: Select[UUID]) -> ColumnElement[Sequence[UUID]]:
    return func.array(ids.correlate(Task).scalar_subquery(), type_=ARRAY(Uuid()))


LEAD_ID = (
    select(Agent.id)
    .where(Agent.board_id == BOARD_ID, Agent.is_board_lead)
    .limit(1)
    .scalar_subquery()
)
IS_REQUESTED_ASSIGNEE = and_(
    RequestedAssignee.id == bindparam("assignee_id"),
    RequestedAssignee.organization_id == bindparam("organization_id"),
)
"""Matches the requested assignee, if it is an agent of the organization."""

LOCKED_TAGS: Query[tuple[UUID]] = Query(
    select(Tag.id)
    .where(
        Tag.organization_id == bindparam("organization_id"),
        Tag.id == func.any(bindparam("tag_ids", type_=ARRAY(Uuid()))),
    )
    .order_by(Tag.id)
    .with_for_update(read=True, key_share=True)
)
COMMENT_SINCE: Query[tuple[UUID]] = Query(
    select(Comment.id)
    .where(
        Comment.task_id == TASK_ID,
        (Comment.agent_id == AUTHOR_ID) | (Comment.user_id == AUTHOR_ID),
        Comment.created_at >= bindparam("since"),
    )
    .limit(1)
)
CREATION_FACTS: Query[tuple[Any, UUID | None, Agent | None]] = Query(
    select(custom_fields.bound_fields_query(BOARD_ID, of_tasks=False), LEAD_ID, RequestedAssignee)
    .select_from(Board)
    .outerjoin(RequestedAssignee, IS_REQUESTED_ASSIGNEE)
    .where(Board.id == BOARD_ID)
)
"""Selects the custom fields of a board, the id of its lead, and the requested assignee."""
