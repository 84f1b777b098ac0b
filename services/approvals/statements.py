"""Select approvals with their board, tasks, requester and decider."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    String,
    Uuid,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by
from sqlalchemy.orm import aliased

from core.db.reads import choose_columns
from models import (
    AGENT_NAME_COLUMNS,
    USER_NAME_COLUMNS,
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    BoardAccess,
    Comment,
    Member,
    PolicyEffect,
    Role,
    Status,
    Task,
    TaskDependency,
    User,
)
from services import custom_fields, policies

Requester, FirstApprover, Lapsed = aliased(User), aliased(User), aliased(User)
ApprovalSelect: TypeAlias = Select[*tuple[Any, ...]]
BOARD_ID = bindparam("board_id", type_=Uuid())
USER_ID = bindparam("user_id", type_=Uuid())
UserColumn: TypeAlias = SQLColumnExpression[UUID | None]


def approvals_query() -> ApprovalSelect:
    """Select the columns for `detail_from_row`.

    Of related objects, read connections load only what is shown of them.
    """
    return _join_related(
        _first_vote_query(),
        _last_vote_query(),
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
    values = titles or (Task.id, Task.title, link.content_hash, _is_content_changed(), link.used_at)
    refs = func.jsonb_agg(
        aggregate_order_by(func.jsonb_build_array(*values), link.position, link.created_at, link.id)
    )
    query = select(func.coalesce(refs, func.jsonb_build_array()))
    query = query.join_from(link, Task, Task.id == link.task_id)
    return query.where(link.approval_id == Approval.id).correlate(Approval).scalar_subquery()


def task_content_query() -> ColumnElement[Any]:
    """Select the content of a task of the enclosing query, as `actions.build_task_content` does."""
    return func.jsonb_build_object(
        "title",
        Task.title,
        "description",
        Task.description,
        "fields",
        custom_fields.task_values_query(only_set=True),
    )


def has_approved_first_query(user_id: UserColumn = USER_ID) -> ColumnElement[bool]:
    """Select whether a user, by default `user_id`, approved the current content first of two.

    It is `policy_decisions.has_approved_first` for a statement.
    """
    link = ApprovalTask
    changed = select(link.id).join(Task, Task.id == link.task_id)
    changed = changed.where(link.approval_id == Approval.id, _is_content_changed())
    return (
        (Approval.first_approver_id == user_id)
        & Approval.first_approval_hash.is_not_distinct_from(Approval.action_hash)
        & ~changed.correlate(Approval).exists()
    )


def may_approve_query(user_id: UserColumn) -> ColumnElement[bool]:
    """Select whether the policy lets a user approve now: `policy_decisions.may_approve`."""
    return _may_vote(user_id) & has_approved_first_query(user_id).is_not(True)


def _may_vote(user_id: UserColumn, *, writes: bool = False) -> ColumnElement[bool]:
    """Select whether the policy lets a user approve, also if the user has done so first of two.

    With `writes` only if the user may also change the board.
    """
    verdict = type_coerce(Approval.policy_verdict, JSONB)
    asks_two = verdict["effect"].astext.is_not_distinct_from(PolicyEffect.ASK_TWO.value)
    is_own = asks_two & Approval.requested_by_user_id.is_not_distinct_from(user_id)
    decider_ids = func.coalesce(verdict["decider_ids"], literal([], JSONB))
    is_named = decider_ids.has_key(cast(user_id, String)) | (decider_ids == literal([], JSONB))
    least = func.coalesce(verdict["decider_role"].astext, Role.MEMBER.value)
    return is_named & _has_role(user_id, least, writes=writes) & ~is_own


def _has_role(
    user_id: UserColumn, least: ColumnElement[str], *, writes: bool
) -> ColumnElement[bool]:
    member, board, access = aliased(Member), aliased(Board), aliased(BoardAccess)
    is_grant = (access.organization_member_id == member.id) & (access.board_id == board.id)
    found = select(member.id).join(board, board.organization_id == member.organization_id)
    found = found.where(
        board.id == Approval.board_id,
        member.user_id == user_id,
        _rank_role(type_coerce(member.role, String)) >= _rank_role(least),
    )
    if writes:
        found = found.outerjoin(access, is_grant)
        found = found.where(or_(member.all_boards_write, access.can_write.is_(True)))
    return found.correlate_except(member, board, access).exists()


def _first_vote_query() -> ColumnElement[bool]:
    """Select whether the first of two people may still approve."""
    user_id = Approval.first_approver_id
    return case((_is_pending(user_id), _may_vote(user_id, writes=True)), else_=false())


def _last_vote_query() -> ColumnElement[bool]:
    """Select whether the person who has decided may still make this decision.

    An owner may always reject.
    """
    user_id = Approval.decided_by_user_id
    is_owner = _has_role(user_id, literal(Role.OWNER.value), writes=True)
    is_rejected = Approval.decided_status == ApprovalStatus.REJECTED
    may_vote = _may_vote(user_id, writes=True) | (is_rejected & is_owner)
    return case((_is_pending(user_id), may_vote), else_=false())


def _is_pending(user_id: UserColumn) -> ColumnElement[bool]:
    return user_id.is_not(None) & (Approval.status == ApprovalStatus.PENDING)


def needs_other_approver() -> ColumnElement[bool]:
    """Select whether only others than the user `user_id` may approve an undecided approval now.

    The policy leaves it to others, or the user has approved it as the first of two. The user is a
    member of its organization. Every member may approve what is not restricted.
    """
    return IS_RESTRICTED & may_approve_query(USER_ID).is_not(True)


IS_RESTRICTED = or_(Approval.policy_verdict.is_not(None), Approval.first_approver_id.is_not(None))
"""The condition of an index: a policy may restrict who approves, or one person has approved."""


def _rank_role(role: ColumnElement[str]) -> ColumnElement[int]:
    return case({one.value: rank for one, rank in policies.ROLE_RANK.items()}, value=role)


def _is_content_changed() -> ColumnElement[bool]:
    content = ApprovalTask.content
    return content.is_not(None) & content.is_distinct_from(task_content_query())


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
