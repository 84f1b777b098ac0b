"""List and count approvals, of one board or across the boards of a member."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    SQLColumnExpression,
    String,
    Uuid,
    bindparam,
    case,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.paging import MAX_PAGE_SIZE, Page, Paging
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    BoardCounts,
    Member,
    RiskLevel,
)
from services import board_pages, boards, counters, policies
from services.approvals.details import (
    BOARD_ID,
    ApprovalDetail,
    ApprovalSelect,
    approvals_query,
    decided_approvals_query,
    detail_from_row,
    get_approval,
    get_board_id,
    is_one_of_these_approvals,
)
from services.board_pages import BoardPageQuery

DECIDED_AT = func.coalesce(Approval.decided_at, Approval.resolved_at)


def _newest_first(query: ApprovalSelect) -> ApprovalSelect:
    return query.order_by(Approval.created_at.desc(), Approval.id.desc())


def _last_decision_first(query: ApprovalSelect) -> ApprovalSelect:
    return query.order_by(DECIDED_AT.desc(), Approval.id.desc())


def _is_of_task() -> ColumnElement[bool]:
    task_id = bindparam("task_id", type_=Uuid())
    return Approval.id.in_(select(ApprovalTask.approval_id).where(ApprovalTask.task_id == task_id))


IS_READABLE = Approval.board_id.in_(boards.READABLE_BOARD_IDS)
"""Whether an approval is of a board that the member of `_parameters` may read."""


def _select_readable_ids(*, by_board: bool) -> Select[UUID]:
    """Select the boards that a member may read, or that one of them, by `_parameters`."""
    readable = boards.READABLE_BOARD_IDS.subquery("readable")
    ids = select(readable.c.id)
    return ids.where(readable.c.id == BOARD_ID) if by_board else ids


def _parameters(member: Member, board_id: UUID | None) -> dict[str, Any]:
    return {
        "user_id": member.user_id,
        "organization_id": member.organization_id,
        "board_id": board_id,
    }


@cache
def _build_page_query(
    *,
    of_member: bool = False,
    by_board: bool = False,
    status: ApprovalStatus | None = None,
    decided: bool = False,
) -> BoardPageQuery[ApprovalDetail]:
    """Build the query of a list of the board `board_id`.

    With `of_member` it is of the boards that a member may read, and with `by_board` of that one
    among them. With `decided` it has only decided approvals, last decision first.
    """
    board_ids = board_pages.THIS_BOARD_ID
    if of_member:
        board_ids = _select_readable_ids(by_board=by_board)
    order: Any = DECIDED_AT if decided else Approval.created_at
    rows = select(Approval.id, order.label("at"))
    counted = list(counters.APPROVAL_COUNTS.values())
    if decided:
        rows, counted = rows.where(order.is_not(None)), [BoardCounts.decided_approvals]
    elif status is not None:
        rows = rows.where(Approval.status == status)
        counted = [counters.APPROVAL_COUNTS[status]]
    select_ids = board_pages.newest_rows_query(board_ids, rows, Approval.board_id, order)
    details = decided_approvals_query() if decided else approvals_query()
    details = details.order_by(order.desc(), Approval.id.desc())
    total = counters.sum_counts(counted, board_ids)
    return BoardPageQuery(select_ids, details, Approval.id, total, detail_from_row)


async def list_board_approvals(
    source: Source, board: Board, paging: Paging, *, status: ApprovalStatus | None = None
) -> Page[ApprovalDetail]:
    """Return a board's approvals, newest first."""
    query = _build_page_query(status=status)
    return await query.fetch_page(source, paging, board_id=board.id)


def newest_approvals_query(*, limit: int) -> Query[ApprovalDetail]:
    """Build the query for the newest approvals of the board `board_id`, newest first."""
    query = _newest_first(approvals_query().where(Approval.board_id == bindparam("board_id")))
    return Query(query.limit(limit), detail_from_row)


PENDING_COUNT: Query[int] = Query(
    select(
        select(func.coalesce(func.sum(BoardCounts.pending_approvals), 0))
        .where(BoardCounts.board_id == bindparam("board_id"))
        .scalar_subquery()
        .label("pending")
    ),
    itemgetter(0),
)
"""The number of pending approvals of the board `board_id`."""


async def list_member_approvals(
    source: Source,
    member: Member,
    paging: Paging,
    *,
    board_id: UUID | None = None,
    status: ApprovalStatus | None = None,
) -> Page[ApprovalDetail]:
    """Return the approvals of all boards that the member may read, or of one, newest first."""
    query = _build_page_query(of_member=True, by_board=board_id is not None, status=status)
    return await query.fetch_page(source, paging, **_parameters(member, board_id))


APPROVALS_OF_BOARD = Query(
    approvals_query().where(Approval.board_id == BOARD_ID, is_one_of_these_approvals()),
    detail_from_row,
)


async def load_approvals(
    source: Source, board: Board, approval_ids: Collection[UUID]
) -> dict[UUID, ApprovalDetail]:
    """Return those of these approvals that are on the board, by id."""
    if not approval_ids:
        return {}
    parameters = {"board_id": board.id, "approval_ids": list(approval_ids)}
    found = await APPROVALS_OF_BOARD.fetch(source, **parameters)
    return {detail.approval.id: detail for detail in found}


OPEN_APPROVALS = Query(
    _newest_first(
        approvals_query().where(
            Approval.board_id == bindparam("board_id"),
            Approval.status == ApprovalStatus.PENDING,
            _is_of_task(),
        )
    ),
    detail_from_row,
)
"""The approvals of a task that are undecided or can still be undone."""


UNDECIDED_APPROVALS = Query(
    _newest_first(
        approvals_query().where(is_one_of_these_approvals(), policies.IS_UNDECIDED, IS_READABLE)
    ),
    detail_from_row,
)


async def list_undecided_approvals(
    source: Source,
    member: Member,
    *,
    approval_ids: Collection[UUID],
) -> Sequence[ApprovalDetail]:
    """Return those of these approvals that are undecided and that the member may read."""
    parameters = _parameters(member, None) | {"approval_ids": list(approval_ids)}
    return await UNDECIDED_APPROVALS.fetch(source, **parameters)


def build_listed_query(listed: FromClause) -> Query[ApprovalDetail]:
    """Build the query of the approvals whose ids are in the column `id` of another one."""
    return Query(approvals_query().join(listed, listed.c.id == Approval.id), detail_from_row)


def undecided_rows_query() -> Select[*tuple[Any, ...]]:
    """Select the undecided approvals of boards that a member may read, as rows of the inbox.

    services/inbox.py orders, filters and groups by the columns. `waits_for_others` is whether only
    other people can decide them now: the member may not change the board, may not approve them by
    the policy, or has approved them as the first of two.
    """
    visible = boards.MEMBER_BOARDS.subquery()
    return (
        select(
            Approval.id,
            Approval.board_id,
            Approval.created_at.label("at"),
            (~visible.c.writes | policies.needs_other_approver()).label("waits_for_others"),
            Approval.agent_id,
            Agent.name.label("agent_name"),
            Approval.action_type.label("request_kind"),
            func.coalesce(type_coerce(Approval.risk, String), RiskLevel.HIGH).label("risk"),
            Approval.equality_hash,
        )
        .join(visible, visible.c.id == Approval.board_id)
        .outerjoin(Agent, Agent.id == Approval.agent_id)
        .where(visible.c.reads, policies.IS_UNDECIDED)
    )


class UndecidedApproval(NamedTuple):
    """What the cards of a board need of an undecided approval."""

    id: UUID
    agent_id: UUID | None
    may_approve: bool  # whether the policy lets the member approve it, apart from the board
    task_ids: Sequence[UUID]


async def list_undecided_of_board(
    source: Source, member: Member, board: Board, *, task_id: UUID | None = None
) -> Sequence[UndecidedApproval]:
    """Return all undecided approvals of a board, or of one of its tasks, oldest first."""
    parameters = _parameters(member, board.id) | {"task_id": task_id}
    query = _build_undecided_of_board_query(by_task=task_id is not None)
    return await query.fetch(source, **parameters)


@cache
def _build_undecided_of_board_query(*, by_task: bool) -> Query[UndecidedApproval]:
    links = select(func.array_agg(ApprovalTask.task_id))
    links = links.where(ApprovalTask.approval_id == Approval.id).correlate(Approval)
    query = select(
        Approval.id,
        Approval.agent_id,
        ~policies.needs_other_approver(),
        func.coalesce(links.scalar_subquery(), func.array_remove(array([Approval.task_id]), None)),
    )
    query = query.where(Approval.board_id == BOARD_ID, policies.IS_UNDECIDED)
    query = query.where(_is_of_task()) if by_task else query
    return Query(query.order_by(Approval.created_at, Approval.id), UndecidedApproval._make)


async def list_decided_approvals(
    source: Source, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[ApprovalDetail]:
    """Return the decided approvals of the boards that the member may read, last decision first.

    They are without their contents, as `decided_approvals_query` says.
    """
    query = _build_page_query(of_member=True, by_board=board_id is not None, decided=True)
    return await query.fetch_page(source, paging, **_parameters(member, board_id))


@cache
def build_decided_since_query(*, by_board: bool) -> Query[ApprovalDetail]:
    """Build the query of the approvals decided since the time `since`, last decision first.

    They are without their contents, as `decided_approvals_query` says.
    """
    is_recent = bindparam("since", type_=Approval.created_at.type) <= DECIDED_AT
    select_ids = board_pages.newest_rows_query(
        _select_readable_ids(by_board=by_board),
        select(Approval.id, DECIDED_AT.label("at")).where(is_recent),
        Approval.board_id,
        DECIDED_AT,
        limit=MAX_PAGE_SIZE,
        offset=0,
    )
    shown = select_ids().subquery("decided")
    query = decided_approvals_query().join(shown, shown.c.id == Approval.id)
    return Query(_last_decision_first(query), detail_from_row)


UNDOABLE_DECISIONS = Query(
    _last_decision_first(
        approvals_query().where(
            is_one_of_these_approvals(),
            Approval.status == ApprovalStatus.PENDING,
            Approval.decided_by_user_id == bindparam("user_id"),
            Approval.finalizes_at > bindparam("now"),
            IS_READABLE,
        )
    ),
    detail_from_row,
)


async def list_undoable_decisions(
    source: Source, member: Member, approval_ids: Collection[UUID]
) -> Sequence[ApprovalDetail]:
    """Return those of these approvals that the member has decided and can still undo."""
    if not approval_ids:
        return []
    parameters = _parameters(member, None) | {"approval_ids": list(approval_ids), "now": now()}
    return await UNDOABLE_DECISIONS.fetch(source, **parameters)


async def get_member_approval(source: Source, member: Member, approval_id: UUID) -> ApprovalDetail:
    """Return an approval of a board that the member may read. Raises NotFound or Forbidden."""
    board_id = await get_board_id(source, member.user, approval_id)
    board = await boards.get_board(source, member.user, board_id)
    return await get_approval(source, board, approval_id)


@dataclass(frozen=True)
class ApprovalCounts:
    """The number of pending approvals of a board; for each task, of all and of pending ones."""

    pending: int
    by_task: dict[UUID, tuple[int, int]]


async def count_approvals(
    session: AsyncSession, board: Board, task_ids: Sequence[UUID]
) -> ApprovalCounts:
    """Count a board's pending approvals, and the approvals of some of its tasks."""
    pending = Approval.status == ApprovalStatus.PENDING
    per_task = (
        select(ApprovalTask.task_id, func.count(), func.count().filter(pending))
        .join(Approval, Approval.id == ApprovalTask.approval_id)
        .where(Approval.board_id == board.id, ApprovalTask.task_id.in_(task_ids))
        .group_by(ApprovalTask.task_id)
    )
    found = (await session.execute(per_task)).all() if task_ids else []
    return ApprovalCounts(
        pending=await PENDING_COUNT.first(session, board_id=board.id) or 0,
        by_task=dict.fromkeys(task_ids, (0, 0)) | {id: (all, open) for id, all, open in found},
    )


def count_approvable(board_id: SQLColumnExpression[UUID]) -> ColumnElement[int]:
    """Select how many undecided approvals of a board a member who may change it can approve.

    Those that the policy leaves to others are few, and read from an index of their own.
    """
    undecided = select(BoardCounts.undecided_approvals).where(BoardCounts.board_id == board_id)
    counted = func.coalesce(undecided.correlate_except(BoardCounts).scalar_subquery(), 0)
    return counted - _count_undecided(board_id, policies.needs_other_approver())


def select_approvable_counts() -> Sequence[Select[UUID, int]]:
    """Select boards, and numbers whose sums by board are those of `count_approvable`.

    Boards without undecided approvals are not read. The caller joins the boards that it counts; the
    policy is looked at after that, because it is not a condition of the rows.
    """
    counted = BoardCounts.undecided_approvals
    of_others = case((policies.needs_other_approver(), literal_column("-1")), else_=0)
    is_restricted = policies.IS_UNDECIDED & policies.IS_RESTRICTED
    return (
        select(BoardCounts.board_id, counted).where(counted > 0),
        select(Approval.board_id, of_others).where(is_restricted),
    )


def has_own_first_approvals() -> ColumnElement[bool]:
    """Select whether `user_id` approved something first of two that is undecided.

    It is of any board of the organization `organization_id`.
    """
    own = select(Approval.id).join(Board, Board.id == Approval.board_id)
    in_organization = Board.organization_id == bindparam("organization_id", type_=Uuid())
    own = own.where(in_organization, policies.IS_UNDECIDED, policies.IS_RESTRICTED)
    return own.where(policies.has_approved_first_query()).exists()


def _count_undecided(
    board_id: SQLColumnExpression[UUID], condition: ColumnElement[bool]
) -> ColumnElement[int]:
    query = select(func.count()).select_from(Approval)
    query = query.where(Approval.board_id == board_id, policies.IS_UNDECIDED, condition)
    return query.correlate_except(Approval).scalar_subquery()


@cache
def build_decided_count_query(*, by_board: bool) -> Query[int]:
    """Build the query that counts what `list_decided_approvals` lists."""
    ids = _select_readable_ids(by_board=by_board)
    return Query(select(counters.sum_counts([BoardCounts.decided_approvals], ids)), itemgetter(0))
