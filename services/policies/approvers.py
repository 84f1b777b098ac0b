"""Conditions about who may approve, as `rules.may_decide` decides in Python.

Statements about requests, tasks and notifications use them.
"""

from collections.abc import Collection
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    SQLColumnExpression,
    String,
    Uuid,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import aliased

from core.db.reads import Query, Source
from models import (
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    BoardAccess,
    Member,
    PolicyEffect,
    Role,
    Task,
)
from services import custom_fields, organizations

USER_ID = bindparam("user_id", type_=Uuid())
UserColumn: TypeAlias = SQLColumnExpression[UUID | None]

IS_UNDECIDED = (Approval.status == ApprovalStatus.PENDING) & Approval.decided_status.is_(None)
IS_RESTRICTED = or_(Approval.policy_verdict.is_not(None), Approval.first_approver_id.is_not(None))
"""The condition of an index: a policy may restrict who approves, or one person has approved."""


def needs_other_approver() -> ColumnElement[bool]:
    """Select whether only others than the user `user_id` may approve an undecided approval now.

    The policy leaves it to others, or the user has approved it as the first of two. The user is a
    member of its organization. Every member may approve what is not restricted.
    """
    return IS_RESTRICTED & may_approve_query(USER_ID).is_not(True)


def may_approve_query(user_id: UserColumn) -> ColumnElement[bool]:
    """Select whether the policy lets a user approve now, as `approvals.may_approve` does."""
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


def _rank_role(role: ColumnElement[str]) -> ColumnElement[int]:
    return case({one.value: rank for one, rank in organizations.ROLE_RANK.items()}, value=role)


def has_approved_first_query(user_id: UserColumn = USER_ID) -> ColumnElement[bool]:
    """Select whether a user, by default `user_id`, approved the current content first of two.

    It is `approvals.has_approved_first` for a statement.
    """
    link = ApprovalTask
    changed = select(link.id).join(Task, Task.id == link.task_id)
    changed = changed.where(link.approval_id == Approval.id, is_content_changed()).limit(1)
    return (
        (Approval.first_approver_id == user_id)
        & Approval.first_approval_hash.is_not_distinct_from(Approval.action_hash)
        # for EXISTS PostgreSQL may compare the content of all tasks before
        & changed.correlate(Approval).scalar_subquery().is_(None)
    )


def is_content_changed() -> ColumnElement[bool]:
    content = ApprovalTask.content
    return content.is_not(None) & content.is_distinct_from(task_content_query())


def task_content_query() -> ColumnElement[Any]:
    """Select the content of a task of the enclosing query, as `build_task_content` does."""
    return func.jsonb_build_object(
        "title",
        Task.title,
        "description",
        Task.description,
        "fields",
        custom_fields.task_values_query(only_set=True),
    )


def first_vote_query() -> ColumnElement[bool]:
    """Select whether the first of two people may still approve."""
    user_id = Approval.first_approver_id
    return case((_is_pending(user_id), _may_vote(user_id, writes=True)), else_=false())


def last_vote_query() -> ColumnElement[bool]:
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


async def load_first_approvers(source: Source, approval_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Return who has approved the current content first of two, by approval, if anybody has."""
    if not approval_ids:
        return {}
    return dict(await FIRST_APPROVERS.fetch(source, approval_ids=list(approval_ids)))


FIRST_APPROVERS: Query[tuple[UUID, UUID]] = Query(
    select(Approval.id, Approval.first_approver_id).where(
        Approval.id == func.any(bindparam("approval_ids", type_=ARRAY(Uuid()))),
        has_approved_first_query(Approval.first_approver_id),
    )
)
