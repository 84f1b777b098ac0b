"""Approvals with their board, tasks, requester and decider."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Uuid, bindparam, case, false, func, null, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.clock import format_naive_utc
from core.db.reads import Query, Source, choose_columns
from core.errors import Conflict, NotFound
from core.text import N_
from models import (
    AGENT_NAME_COLUMNS,
    USER_NAME_COLUMNS,
    Actor,
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    Comment,
    EventType,
    Member,
    Status,
    Task,
    TaskDependency,
    User,
)
from services import boards, events, organizations, policies, rows
from services.approval_actions import allows_completion
from services.approvals.rules import find_agent_text, find_reason, format_question


class LinkedTask(NamedTuple):
    """A task that an approval refers to, with the hash of the content that was reviewed."""

    id: UUID
    title: str
    content_hash: str | None = None
    is_changed: bool = False  # whether its content differs from what was requested or approved
    used_at: datetime | None = None  # when it was moved to done with this approval
    is_done: bool = False


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
    lapsed_user: User | None = None  # who made the last decision that counts no longer
    may_first_vote: bool = False  # whether the first of two people may still approve
    may_last_vote: bool = False  # whether the decider may still do so, until it is final
    unblocks: Sequence[WaitingTask] = ()  # oldest first
    clarified_at: datetime | None = None  # when the requester gave the clarification

    @property
    def completes_tasks(self) -> bool:
        """Whether the approval allows its tasks to be moved to done once it is approved."""
        return allows_completion(self.approval.action_type, self.approval.completes_tasks)

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
        return format_question(self.approval.action_type, self.task_titles)

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
    def has_open_clarification(self) -> bool:
        """Whether a decider requested a clarification that the requester has not given yet."""
        was_requested = self.approval.clarification_requested_at is not None
        return self.is_undecided and was_requested and self.clarified_at is None

    @property
    def is_clarified(self) -> bool:
        """Whether the requester has given the clarification that was requested last."""
        return self.is_undecided and self.clarified_at is not None

    @property
    def is_changed(self) -> bool:
        """Whether the content of a task differs from what was requested or approved."""
        return any(task.is_changed for task in self.tasks)

    @property
    def is_first_approval_lapsed(self) -> bool:
        """Whether the first of two people has approved, but may no longer decide."""
        was_approved = self.approval.first_approved_at is not None
        return self.is_undecided and was_approved and not self.may_first_vote

    @property
    def is_rebound(self) -> bool:
        """Whether a person has approved other content than was requested, as far as is known."""
        row = self.approval
        return row.requested_hash is not None and row.requested_hash != row.action_hash

    @property
    def can_undo(self) -> bool:
        """Whether there is a decision that can still be undone."""
        return not self.is_undecided and self.approval.status is ApprovalStatus.PENDING


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
    linked = _tasks_subquery((Task.id, Task.title, null(), false(), null(), false()))
    details = (false(), false(), linked, func.jsonb_build_array(), null())
    query = _join_related(*details)
    return choose_columns(query, {Approval: DECIDED_COLUMNS})


def _join_related(*details: ColumnElement[Any]) -> ApprovalSelect:
    query = (
        select(Approval, Board, Agent, User, Requester, FirstApprover, Lapsed, *details)
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
    *("is_decided_by_policy", "policy_verdict", "completes_tasks", "confidence", "is_tool_call"),
)
"""The columns of a decided approval in a list."""


def is_one_of_these_approvals() -> ColumnElement[bool]:
    """Build the condition for the ids in the parameter `approval_ids`."""
    return Approval.id == func.any(bindparam("approval_ids", type_=ARRAY(Uuid())))


def _tasks_subquery(titles: Sequence[Any] = ()) -> ColumnElement[Any]:
    link = ApprovalTask
    values = titles or (
        Task.id,
        Task.title,
        link.content_hash,
        policies.is_content_changed(),
        link.used_at,
        Task.status == Status.DONE,
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


def detail_from_row(row: Sequence[Any]) -> ApprovalDetail:
    """Build an ApprovalDetail from a row of `approvals_query`."""
    *found, lapsed_user, may_first_vote, may_last_vote, tasks, waiting, clarified_at = row
    return ApprovalDetail(
        *found,
        [
            LinkedTask(
                UUID(id),
                title,
                content_hash,
                bool(is_changed),
                datetime.fromisoformat(used_at) if used_at else None,
                bool(is_done),
            )
            for id, title, content_hash, is_changed, used_at, is_done in tasks
        ],
        lapsed_user,
        may_first_vote,
        may_last_vote,
        [WaitingTask(UUID(id), title, Status(status)) for id, title, status in waiting],
        clarified_at,
    )


APPROVAL = Query(
    approvals_query()
    .where(Approval.board_id == BOARD_ID, Approval.id == bindparam("approval_id"))
    .execution_options(populate_existing=True),
    detail_from_row,
)


async def get_approval(source: Source, board: Board, approval_id: UUID) -> ApprovalDetail:
    """Return an approval of this board, reloaded from the database. Raises NotFound."""
    return await rows.get_one(
        source, APPROVAL, approval_not_found, board_id=board.id, approval_id=approval_id
    )


async def get_board_id(source: Source, user: User, approval_id: UUID) -> UUID:
    """Return the board id of an approval in the user's organizations. Raises NotFound."""
    found = await find_board_ids(source, user, [approval_id])
    if approval_id not in found:
        raise approval_not_found()
    return found[approval_id]


async def find_board_ids(
    source: Source, user: User, approval_ids: Collection[UUID]
) -> dict[UUID, UUID]:
    """Return the board ids of those approvals that are in the user's organizations."""
    ids = list(approval_ids)
    return dict(await BOARD_IDS.fetch(source, user_id=user.id, approval_ids=ids))


BOARD_IDS: Query[tuple[UUID, UUID]] = Query(
    select(Approval.id, Approval.board_id)
    .join(Board, Board.id == Approval.board_id)
    .join(Member, Member.organization_id == Board.organization_id)
    .where(Member.user_id == bindparam("user_id"), is_one_of_these_approvals())
)


def approval_not_found() -> NotFound:
    """Build the error for an approval that does not exist or that the actor may not see."""
    return NotFound("approval_not_found", N_("There is no such approval."))


def already_decided(detail: ApprovalDetail) -> Conflict:
    """Build the error for an approval that has a decision, with who decided, what and when."""
    text = N_("%(by)s has rejected this already.")
    if detail.shown_status is ApprovalStatus.APPROVED:
        text = N_("%(by)s has approved this already.")
    return Conflict(
        "already_decided",
        text,
        by=detail.decider_name or "Somebody",
        status=detail.shown_status.value,
        decided_at=format_naive_utc(detail.decided_at) if detail.decided_at else None,
        sent_as="object",
    )


async def fetch_details(session: AsyncSession, query: ApprovalSelect) -> list[ApprovalDetail]:
    """Run a query that is based on `approvals_query`."""
    return [detail_from_row(row) for row in await session.execute(query)]


async def lock_board_of_approval(session: AsyncSession, user: User, approval_id: UUID) -> Board:
    """Lock the board of an approval and the memberships, and check the user's rights after that."""
    board_id = await get_board_id(session, user, approval_id)
    board = await boards.lock_board(session, user, board_id)
    await organizations.lock_memberships(session, [board.organization_id])
    await boards.require_write_access(session, user, board_id)
    return board


def build_approval_event(
    type: EventType, actor: Actor | None, detail: ApprovalDetail, **more: object
) -> events.NewEvent:
    """Build an event of an approval. `more` is added to its data."""
    return events.NewEvent(
        type,
        actor,
        organization_id=detail.board.organization_id,
        board=detail.board,
        task=detail.tasks[0].id if detail.tasks else None,
        approval=detail.approval,
        data={
            "status": detail.approval.status,
            "action_type": detail.approval.action_type,
            "question": detail.question,
            "titles": detail.task_titles,
            "confidence": detail.approval.confidence,
            "action_hash": detail.approval.action_hash,
            "completes_tasks": detail.completes_tasks,
            **more,
        },
    )
