"""Find out with one statement which timeouts have passed: of agents, runs and requests."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import DateTime, bindparam, exists, literal, select

from core.clock import now
from core.db.reads import Query, Source
from models import Agent
from services import agents
from services.gateways import requests, runs

_AT = bindparam("at", type_=DateTime(timezone=True))
_SILENT_SINCE = bindparam("silent_since", type_=DateTime(timezone=True))

_TIMEOUTS = Query(
    select(
        Agent,
        exists().where(runs.is_lost_condition(_AT)),
        exists().where(requests.is_expired_condition(_AT)),
    )
    .select_from(select(literal(1)).subquery("always"))
    .outerjoin(Agent, agents.may_be_overdue_condition(_SILENT_SINCE))
)
"""A row for each agent that may be overdue; one without an agent if there is none."""


@dataclass(frozen=True)
class DueTimeouts:
    """What has passed its timeout: whether there are such agents, runs and requests."""

    agents: bool
    runs: bool
    requests: bool


async def find_due_timeouts(source: Source, offline_after: timedelta) -> DueTimeouts:
    """Return what has to be marked as offline, lost and expired."""
    at = now()
    rows = await _TIMEOUTS.fetch(source, at=at, silent_since=at - offline_after)
    _, has_lost_runs, has_expired_requests = rows[0]
    return DueTimeouts(
        any(agent and agents.is_overdue(agent, at, offline_after) for agent, *_ in rows),
        has_lost_runs,
        has_expired_requests,
    )
