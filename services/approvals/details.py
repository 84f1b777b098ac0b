"""Load approvals with their board, tasks, requester and decider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.clock import format_naive_utc
from core.errors import Conflict, NotFound
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    Status,
    Task,
    TaskDependency,
    User,
)
from services import boards, custom_fields
from services.action_kinds import is_completion_kind
from services.approvals.rules import find_agent_text, find_reason, format_question

Requester, FirstApprover = aliased(User), aliased(User)
ApprovalSelect: TypeAlias = Select[*tuple[Any, ...]]


class LinkedTask(NamedTuple):
    """A task that an approval refers to, with the hash of the content that was reviewed."""

    id: UUID
    title: str
    content_hash: str | None = None
    is_changed: bool = False  # whether its content differs from what was requested or approved
    used_at: datetime | None = None  # when it was moved to done with this approval


class WaitingTask(NamedTuple):
    """An open task that waits for a task of an approval."""

    id: UUID
    title: str
    status: Status


@dataclass(frozen=True)
class ApprovalDetail:
    """An approval with its board, tasks, requester and decider."""

    approval: Approval
    board: Board
    agent: Agent | None
    decider: User | None
    requester: User | None  # the user who requested it, if it was not an agent
    first_approver: User | None  # the first of two people, if one has approved
    tasks: Sequence[LinkedTask]
    unblocks: Sequence[WaitingTask] = ()  # oldest first

    @property
    def completes_tasks(self) -> bool:
        """Whether the approval allows its tasks to be moved to done once it is approved."""
        if self.approval.completes_tasks is not None:
            return self.approval.completes_tasks
        return is_completion_kind(self.approval.action_type)

    @property
    def used_at(self) -> datetime | None:
        """The last time when one of its tasks was moved to done with this approval."""
        return max((task.used_at for task in self.tasks if task.used_at), default=None)

    @property
    def agent_text(self) -> str | None:
        """The title, question or summary in the payload: words of the requester, not ours."""
        return find_agent_text(self.approval.payload)

    @property
    def task_ids(self) -> list[UUID]:
        """The ids of its tasks, the primary task first."""
        primary = [self.approval.task_id] if self.approval.task_id else []
        return [task.id for task in self.tasks] or primary

    @property
    def task_titles(self) -> list[str]:
        """The titles of the tasks that still exist, in the same order."""
        return [task.title for task in self.tasks]

    @property
    def question(self) -> str:
        """The question to decide, as one sentence that is built from the kind and the tasks."""
        return format_question(self.approval, self.task_titles)

    @property
    def reason(self) -> str | None:
        """The reason for the request."""
        return find_reason(self.approval.payload)

    @property
    def requester_name(self) -> str:
        """The name of the agent or user who requested it."""
        if self.agent:
            return self.agent.name
        return self.requester.display_name if self.requester else "Somebody"

    @property
    def decider_name(self) -> str | None:
        """The name of the user who decided, or of the policy."""
        if self.approval.is_decided_by_policy:
            return f"the policy “{self.approval.policy_verdict.rule_name}”"
        return self.decider.display_name if self.decider else None

    @property
    def decided_at(self) -> datetime | None:
        """The time of the decision, also of one that can still be undone."""
        return self.approval.decided_at or self.approval.resolved_at

    @property
    def shown_status(self) -> ApprovalStatus:
        """The status that users see, including a decision that can still be undone."""
        return self.approval.decided_status or self.approval.status

    @property
    def is_undecided(self) -> bool:
        """Whether there is no decision yet."""
        return self.shown_status is ApprovalStatus.PENDING

    @property
    def is_changed(self) -> bool:
        """Whether the content of a task differs from what was requested or approved."""
        return any(task.is_changed for task in self.tasks)

    @property
    def can_undo(self) -> bool:
        """Whether there is a decision that can still be undone."""
        return not self.is_undecided and self.approval.status is ApprovalStatus.PENDING


def approvals_query() -> ApprovalSelect:
    """Select the columns for `detail_from_row`."""
    return (
        select(
            *(Approval, Board, Agent, User, Requester, FirstApprover),
            *(_tasks_subquery(), _waiting_subquery()),
        )
        .join(Board, Board.id == Approval.board_id)
        .outerjoin(Agent, Agent.id == Approval.agent_id)
        .outerjoin(User, User.id == Approval.decided_by_user_id)
        .outerjoin(Requester, Requester.id == Approval.requested_by_user_id)
        .outerjoin(FirstApprover, FirstApprover.id == Approval.first_approver_id)
    )


def detail_from_row(row: Sequence[Any]) -> ApprovalDetail:
    """Build an ApprovalDetail from a row of `approvals_query`."""
    *found, tasks, waiting = row
    return ApprovalDetail(
        *found,
        [_build_linked_task(task) for task in tasks],
        [WaitingTask(UUID(id), title, Status(status)) for id, title, status in waiting],
    )


def _build_linked_task(task: Sequence[Any]) -> LinkedTask:
    id, title, content_hash, is_changed, used_at = task
    at = datetime.fromisoformat(used_at) if used_at else None
    return LinkedTask(UUID(id), title, content_hash, bool(is_changed), at)


async def get_approval(session: AsyncSession, board: Board, approval_id: UUID) -> ApprovalDetail:
    """Return an approval of this board, reloaded from the database. Raises NotFound."""
    query = approvals_query().where(Approval.board_id == board.id, Approval.id == approval_id)
    query = query.execution_options(populate_existing=True)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise approval_not_found()
    return detail_from_row(row)


async def get_board_id(session: AsyncSession, user: User, approval_id: UUID) -> UUID:
    """Return the board id of an approval in the user's organizations. Raises NotFound."""
    found = await find_board_ids(session, user, [approval_id])
    if approval_id not in found:
        raise approval_not_found()
    return found[approval_id]


async def find_board_ids(
    session: AsyncSession, user: User, approval_ids: Sequence[UUID]
) -> dict[UUID, UUID]:
    """Return the board ids of those approvals that are in the user's organizations."""
    visible = boards.visible_boards_query(user).subquery()
    query = (
        select(Approval.id, Approval.board_id)
        .join(visible, visible.c.id == Approval.board_id)
        .where(Approval.id.in_(approval_ids))
    )
    return {id: board_id for id, board_id in await session.execute(query)}


def approval_not_found() -> NotFound:
    """Build the error for an approval that does not exist or that the actor may not see."""
    return NotFound("approval_not_found", "There is no such question.")


def already_decided(detail: ApprovalDetail) -> Conflict:
    """Build the error for an approval that has a decision, with who decided, what and when."""
    by = detail.decider_name or "Somebody"
    return Conflict(
        "already_decided",
        f"{by} has {detail.shown_status.value} this already.",
        by=by,
        status=detail.shown_status.value,
        decided_at=format_naive_utc(detail.decided_at) if detail.decided_at else None,
    )


async def fetch_details(
    session: AsyncSession, query: ApprovalSelect, parameters: Mapping[str, Any] | None = None
) -> list[ApprovalDetail]:
    """Run a query that is based on `approvals_query`."""
    return [detail_from_row(row) for row in await session.execute(query, parameters)]


def _tasks_subquery() -> ColumnElement[Any]:
    link = ApprovalTask
    is_changed = link.content.is_not(None) & link.content.is_distinct_from(task_content_query())
    values = (Task.id, Task.title, link.content_hash, is_changed, link.used_at)
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
