"""Select approvals with their board, tasks, requester and decider."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Select,
    Uuid,
    bindparam,
    case,
    false,
    func,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.orm import aliased

from core.db.reads import choose_columns
from models import (
    AGENT_NAME_COLUMNS,
    USER_NAME_COLUMNS,
    Agent,
    Approval,
    ApprovalTask,
    Board,
    Comment,
    Status,
    Task,
    TaskDependency,
    User,
)
from services import policies

Requester, FirstApprover, Lapsed = aliased(User), aliased(User), aliased(User)
ApprovalSelect: TypeAlias = Select[*tuple[Any, ...]]
BOARD_ID = bindparam("board_id", type_=Uuid())


def approvals_query() -> ApprovalSelect:
    """Select the columns for `detail_from_row`.

    Of related objects, read connections load only what is shown of them.
    """
    return _join_related(
        policies.first_vote_query(),
        policies.last_vote_query(),
        _tasks_subquery(),
        _waiting_subquery(),
        _clarified_at_subquery(),
    )


def decided_approvals_query() -> ApprovalSelect:
    """Select the columns for `detail_from_row`, without the contents of the approvals.

    Read connections do not load the payload. The linked tasks have only their ids and titles;
    waiting tasks and clarifications are left out.
    """
    details = (false(), false(), _tasks_subquery(LINKED_TITLES), func.jsonb_build_array(), null())
    query = _join_related(*details)
    return choose_columns(query, {Approval: DECIDED_COLUMNS})


def _join_related(*details: ColumnElement[Any]) -> ApprovalSelect:
    query = (
        select(*(Approval, Board, Agent, User, Requester, FirstApprover, Lapsed), *details)
        .join(Board, Board.id == Approval.board_id)
        .outerjoin(Agent, Agent.id == Approval.agent_id)
        .outerjoin(User, User.id == Approval.decided_by_user_id)
        .outerjoin(Requester, Requester.id == Approval.requested_by_user_id)
        .outerjoin(FirstApprover, FirstApprover.id == Approval.first_approver_id)
        .outerjoin(Lapsed, Lapsed.id == Approval.lapsed_user_id)
    )
    return choose_columns(query, SHOWN_COLUMNS)


SHOWN_COLUMNS: Mapping[Any, Sequence[str]] = {
    Board: (
        "id",
        "organization_id",
        "name",
        "require_approval_for_done",
        "require_review_before_done",
    ),
    Agent: AGENT_NAME_COLUMNS,
    User: USER_NAME_COLUMNS,
    Requester: USER_NAME_COLUMNS,
    FirstApprover: USER_NAME_COLUMNS,
    Lapsed: USER_NAME_COLUMNS,
}
"""The columns of the objects of an ApprovalDetail on read connections, by their entity."""
DECIDED_COLUMNS = (
    *("id", "board_id", "task_id", "agent_id", "requested_by_user_id", "action_type"),
    *("status", "decided_status", "decided_by_user_id", "decided_at", "resolved_at", "created_at"),
    *("is_decided_by_policy", "policy_verdict", "completes_tasks", "confidence"),
)
"""The columns of a decided approval in a list."""


def is_one_of_these_approvals() -> ColumnElement[bool]:
    """Build the condition for the ids in the parameter `approval_ids`."""
    return Approval.id == func.any(bindparam("approval_ids", type_=ARRAY(Uuid())))


LINKED_TITLES = (Task.id, Task.title, null(), false(), null())


def _tasks_subquery(titles: Sequence[Any] = ()) -> ColumnElement[Any]:
    link = ApprovalTask
    values = titles or (
        Task.id,
        Task.title,
        link.content_hash,
        policies.is_content_changed(),
        link.used_at,
    )
    refs = func.jsonb_agg(
        aggregate_order_by(func.jsonb_build_array(*values), link.position, link.created_at, link.id)
    )
    query = select(func.coalesce(refs, func.jsonb_build_array()))
    query = query.join_from(link, Task, Task.id == link.task_id)
    return query.where(link.approval_id == Approval.id).correlate(Approval).scalar_subquery()


def _waiting_subquery() -> ColumnElement[Any]:
    """Select the open tasks that wait for a task of the approval, except for its own tasks."""
    other, link = Task.__table__.alias("waiting"), ApprovalTask
    linked_ids = select(link.task_id).where(link.approval_id == Approval.id).correlate(Approval)
    edge = TaskDependency
    waiting_ids = select(edge.task_id).where(edge.depends_on_task_id.in_(linked_ids))
    columns = func.jsonb_build_array(other.c.id, other.c.title, other.c.status)
    refs = func.jsonb_agg(aggregate_order_by(columns, other.c.created_at, other.c.id))
    query = select(func.coalesce(refs, func.jsonb_build_array())).select_from(other)
    query = query.where(other.c.id.in_(waiting_ids.correlate(Approval)))
    query = query.where(other.c.status != Status.DONE, other.c.id.not_in(linked_ids))
    return query.correlate(Approval).scalar_subquery()


def _clarified_at_subquery() -> ColumnElement[Any]:
    """Select when the requester gave the clarification of the approval that was requested last.

    It is a comment on one of its tasks: that is where the clarification was requested.
    """
    link = ApprovalTask
    linked_ids = select(link.task_id).where(link.approval_id == Approval.id).correlate(Approval)
    is_requester = (Comment.agent_id == Approval.agent_id) | (
        Comment.user_id == Approval.requested_by_user_id
    )
    clarified_at = select(func.max(Comment.created_at)).where(
        Comment.task_id.in_(linked_ids),
        Comment.created_at > Approval.clarification_requested_at,
        is_requester,
    )
    was_requested = Approval.clarification_requested_at.is_not(None)
    return case((was_requested, clarified_at.correlate(Approval).scalar_subquery()))
