"""Agents that no gateway starts and that have never called, while tasks wait for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import ColumnElement, and_, bindparam, func, select

from core.clock import now
from core.db.reads import Query
from models import Agent, Board, Status, Task
from services import boards
from services.agents.rules import offline_threshold


@dataclass(frozen=True)
class UncalledAgent:
    """An agent that has never called although tasks are assigned to it."""

    agent: Agent
    board: Board
    task_count: int  # open tasks that are assigned to it

    @property
    def waiting_for(self) -> timedelta:
        """Return the time since it was created."""
        return now() - self.agent.created_at


def uncalled_condition(since: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """Select agents created before a time that have to call by themselves and never have."""
    return and_(
        Agent.desired_state.is_(None),
        Agent.last_seen_at.is_(None),
        Agent.listed_at.is_(None),
        Agent.created_at < since,
    )


def first_call_deadline(agent: Agent, minimum: timedelta) -> datetime | None:
    """Return when an agent is offline if it has not called; None if it has, or is provisioned."""
    if not agent.is_uncalled:
        return None
    return agent.created_at + offline_threshold(agent, minimum)


def list_missed_first_calls(
    uncalled: Iterable[UncalledAgent], offline_after: timedelta
) -> Sequence[UncalledAgent]:
    """Return the agents that should have called by now: those with long heartbeats later."""
    at = now()
    return [
        one
        for one in uncalled
        if one.agent.created_at + offline_threshold(one.agent, offline_after) < at
    ]


@cache
def build_uncalled_query(*, by_board: bool) -> Query[UncalledAgent]:
    """Select agents for which tasks of readable boards wait, and that have never called.

    For all boards or one; the oldest agent comes first.
    """
    tasks = (
        select(func.count())
        .where(Task.assigned_agent_id == Agent.id, Task.status != Status.DONE)
        .correlate(Agent)
        .scalar_subquery()
    )
    query = (
        select(Agent, Board, tasks)
        .join(Board, Board.id == Agent.board_id)
        .where(
            Board.id.in_(boards.READABLE_BOARD_IDS),
            uncalled_condition(bindparam("uncalled_since")),
            tasks > 0,
        )
        .order_by(Agent.created_at, Agent.id)
    )
    if by_board:
        query = query.where(Board.id == bindparam("board_id"))
    return Query(query, lambda row: UncalledAgent(*row))
