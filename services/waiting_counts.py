"""Count what waits for a member: the number of the inbox, the sidebar, boards and the dashboard.

An item waits for a member who can decide or answer it now. On a board that the member may change
these are the undecided approvals that its policy lets the member approve (after the first of two
approvals, only the other people), the gateway requests and questions without an answer, and the
onboarding in which a person has to answer or review. Admins also decide gateway requests of agents
without a board, and release held agents.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    bindparam,
    func,
    literal_column,
    select,
    union_all,
)

from core.db.reads import CombinedQuery, Query, Source
from models import AgentQuestion, GatewayRequest, Member, RequestState
from services import agents, approvals, boards, onboarding
from services.onboarding import PendingOnboarding

IS_WAITING = GatewayRequest.state == RequestState.WAITING
IS_UNANSWERED = AgentQuestion.answered_at.is_(None)


@dataclass(frozen=True)
class WaitingCounts:
    """How many items wait for a member. All pages show numbers of `total` and `count`."""

    by_board: Mapping[UUID, int]  # boards without anything may be omitted
    without_board: int = 0  # gateway requests
    held_agent_ids: Sequence[UUID] = ()  # that the member can release, the longest held first
    onboardings: Sequence[PendingOnboarding] = ()  # which `by_board` includes, newest first

    @property
    def total(self) -> int:
        """The number of all items."""
        return sum(self.by_board.values()) + self.without_board + len(self.held_agent_ids)

    def count(self, board_ids: Collection[UUID] | None) -> int:
        """Return the number of items of these boards; for None that of all items."""
        if board_ids is None:
            return self.total
        return sum(self.by_board.get(id, 0) for id in board_ids)


async def load_waiting_counts(source: Source, member: Member) -> WaitingCounts:
    """Count what waits for a member, in one statement, or two if there are open onboardings."""
    ids = {"user_id": member.user_id, "organization_id": member.organization_id}
    found = await _build_query(is_admin=member.is_admin).fetch(source, **ids)
    return await build_waiting_counts(source, found)


@cache
def _build_query(*, is_admin: bool) -> CombinedQuery:
    return CombinedQuery(*list_count_queries(is_admin=is_admin))


def list_count_queries(*, is_admin: bool, by_board: bool = False) -> list[Query[Any]]:
    """Return the queries whose rows `build_waiting_counts` adds up.

    They count what waits for a member on all boards, or with `by_board` on the board `board_id`
    alone. For an admin they include what belongs to no board.
    """
    of_boards = [
        _build_board_counts_query(by_board=by_board),
        onboarding.build_open_sessions_query(by_board=by_board),
    ]
    return [*of_boards, OTHER_COUNT, agents.HELD_IDS] if is_admin else of_boards


async def build_waiting_counts(source: Source, found: Sequence[Sequence[Any]]) -> WaitingCounts:
    """Add up the rows of `list_count_queries`. Open onboardings need a statement."""
    of_boards, conversations, *of_admin = found
    pending = await onboarding.select_pending(source, conversations)
    [without_board], held_ids = of_admin or ([0], [])
    by_board = Counter(dict(of_boards)) + Counter(one.board.id for one in pending)
    return WaitingCounts(by_board, without_board, held_ids, pending)


@cache
def _build_board_counts_query(*, by_board: bool) -> Query[tuple[UUID, int]]:
    visible = boards.MEMBER_BOARDS.subquery("visible")
    may_change = visible.c.reads & visible.c.writes
    if by_board:
        requests = _count(GatewayRequest, GatewayRequest.board_id == visible.c.id, IS_WAITING)
        questions = _count(AgentQuestion, AgentQuestion.board_id == visible.c.id, IS_UNANSWERED)
        waiting = approvals.count_approvable(visible.c.id) + requests + questions
        query = select(visible.c.id, waiting).where(may_change)
        return Query(query.where(visible.c.id == bindparam("board_id")))
    # Not for each board: of 1,000 boards something waits on a few.
    parts = [
        *approvals.select_approvable_counts(),
        select(GatewayRequest.board_id, literal_column("1")).where(IS_WAITING),
        select(AgentQuestion.board_id, literal_column("1")).where(IS_UNANSWERED),
    ]
    of_boards = [
        part.join(visible, visible.c.id == part.selected_columns[0]).where(may_change)
        for part in parts
    ]
    board_id, number = union_all(*of_boards).subquery("waiting").c
    total = func.sum(number)
    return Query(select(board_id, total).group_by(board_id).having(total > 0))


def _count(model: type[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    query = select(func.count()).select_from(model).where(*conditions)
    return query.correlate_except(model).scalar_subquery()


OTHER_COUNT: Query[int] = Query(
    select(
        _count(
            GatewayRequest,
            GatewayRequest.organization_id == bindparam("organization_id"),
            GatewayRequest.board_id.is_(None),
            IS_WAITING,
        )
    ),
    itemgetter(0),
)
"""The number of gateway requests of the organization `organization_id` that are of no board."""
