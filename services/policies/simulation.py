"""Apply a policy to the requests of the last days, without changing anything."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Row, Select, Uuid, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import (
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    Member,
    PolicyEffect,
    PolicyRule,
    PolicyVerdict,
    TagAssignment,
)
from services import boards
from services.policies.queries import get_policy
from services.policies.rules import build_facts, check_rules, evaluate_rules

SIMULATED_DAYS = 30
MAX_REQUESTS = 5_000  # newest first
MAX_EXAMPLES = 50


@dataclass(frozen=True)
class SimulatedRequest:
    """A past request with its actual status and the verdict that it would have had."""

    approval_id: UUID
    board_id: UUID
    action_type: str
    requested_at: datetime
    status: ApprovalStatus
    verdict: PolicyVerdict


@dataclass(frozen=True)
class SimulationResult:
    """How many requests would have had each effect, and examples, the newest first."""

    since: datetime
    total: int
    counts: dict[PolicyEffect, int]
    examples: Sequence[SimulatedRequest]  # those that would not have asked one person


async def simulate_policy(
    session: AsyncSession, member: Member, board: Board | None, rules: Sequence[PolicyRule]
) -> SimulationResult:
    """Evaluate rules for the requests of the last 30 days that the member may read.

    The rules of a board come before those of its organization, as in an evaluation. Raises Invalid
    like `replace_policy`.
    """
    rules = check_rules(rules)
    if board is not None:
        rules += (await get_policy(session, member.organization_id, None)).rules
    since = now() - timedelta(days=SIMULATED_DAYS)
    rows = (await session.execute(_requests_query(member, board, since))).all()
    requests = [_simulate(row, rules) for row in rows]
    counts = Counter(request.verdict.effect for request in requests)
    examples = [one for one in requests if one.verdict.effect is not PolicyEffect.ASK_ONE]
    return SimulationResult(
        since,
        len(requests),
        {effect: counts[effect] for effect in PolicyEffect},
        examples[:MAX_EXAMPLES],
    )


def _requests_query(
    member: Member, board: Board | None, since: datetime
) -> Select[*tuple[Any, ...]]:
    tags = (
        select(TagAssignment.tag_id)
        .join(ApprovalTask, ApprovalTask.task_id == TagAssignment.task_id)
        .where(ApprovalTask.approval_id == Approval.id)
        .correlate(Approval)
    )
    tag_ids = func.array(tags.scalar_subquery(), type_=ARRAY(Uuid()))
    readable = boards.readable_board_ids_query(member.user, member.organization_id)
    query = select(Approval, tag_ids.label("tag_ids")).where(
        Approval.created_at >= since, Approval.board_id.in_(readable)
    )
    if board is not None:
        query = query.where(Approval.board_id == board.id)
    return query.order_by(Approval.created_at.desc(), Approval.id.desc()).limit(MAX_REQUESTS)


def _simulate(row: Row[*tuple[Any, ...]], rules: Sequence[PolicyRule]) -> SimulatedRequest:
    approval: Approval = row.Approval
    return SimulatedRequest(
        approval.id,
        approval.board_id,
        approval.action_type,
        approval.created_at,
        approval.status,
        evaluate_rules(rules, build_facts(approval, frozenset(row.tag_ids))),
    )
