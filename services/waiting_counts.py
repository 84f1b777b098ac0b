"""Count what waits for a member: the number of the inbox, the sidebar, boards and the dashboard.

An item waits for a member who can decide or answer it now. On a board that the member may change
these are the undecided approvals that its policy lets the member approve (after the first of two
approvals, only the other people), the gateway requests and questions without an answer, and the
onboarding in which a person has to answer or review. Admins also decide gateway requests of agents
without a board, and release held agents.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    SQLColumnExpression,
    bindparam,
    case,
    func,
    select,
)

from core.db.reads import Query
from models import AgentQuestion, GatewayRequest, RequestState
from services import approvals, boards

IS_WAITING = GatewayRequest.state == RequestState.WAITING


@dataclass(frozen=True)
class WaitingCounts:
    """How many items wait for a member."""

    by_board: Mapping[UUID, int]
    without_board: int  # gateway requests
    held_agents: int

    @property
    def total(self) -> int:
        """The number of all items."""
        return sum(self.by_board.values()) + self.without_board + self.held_agents

    def count(self, board_ids: Collection[UUID] | None) -> int:
        """Return the number of items of these boards; for None that of all items."""
        if board_ids is None:
            return self.total
        return sum(self.by_board.get(id, 0) for id in board_ids)


def board_count_query(
    board_id: SQLColumnExpression[UUID], writes: ColumnElement[bool]
) -> ColumnElement[int]:
    """Select the number of items of a board without its onboarding; `writes`: may change it."""
    requests = _count(GatewayRequest, GatewayRequest.board_id == board_id, IS_WAITING)
    questions = _count(
        AgentQuestion, AgentQuestion.board_id == board_id, AgentQuestion.answered_at.is_(None)
    )
    waiting = approvals.count_approvable(board_id) + requests + questions
    return case((writes, waiting), else_=0)


def _count(model: type[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    query = select(func.count()).select_from(model).where(*conditions)
    return query.correlate_except(model).scalar_subquery()


def other_count_query() -> ScalarSelect[int]:
    """Select the number of gateway requests of an organization without a board, for admins."""
    of_organization = GatewayRequest.organization_id == bindparam("organization_id")
    return _count(GatewayRequest, of_organization, GatewayRequest.board_id.is_(None), IS_WAITING)


@cache
def build_board_counts_query(*, by_board: bool) -> Query[tuple[UUID, int]]:
    """Build the query of `board_count_query` for the boards of a member, or for `board_id`."""
    visible = boards.MEMBER_BOARDS.subquery("visible")
    query = select(visible.c.id, board_count_query(visible.c.id, visible.c.writes))
    query = query.where(visible.c.reads)
    return Query(query.where(visible.c.id == bindparam("board_id")) if by_board else query)


@cache
def build_other_count_query() -> Query[int]:
    """Build the query of `other_count_query`."""
    return Query(select(other_count_query()), itemgetter(0))


def add_onboardings(
    counts: Sequence[tuple[UUID, int]], board_ids: Iterable[UUID]
) -> Mapping[UUID, int]:
    """Return the numbers of items of boards, with those of boards with a pending onboarding."""
    total = dict(counts)
    for board_id in board_ids:
        total[board_id] = total.get(board_id, 0) + 1
    return total
