"""Apply a policy to the requests of the last days, without changing anything."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, Uuid, func, select
from sqlalchemy.dialects.postgresql import JSONB
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
from services.policies.rules import (
    RISK_FLAGS,
    RISK_KEYS,
    build_facts,
    check_rules,
    evaluate_rules,
)

SIMULATED_DAYS = 30
MAX_REQUESTS = 5_000  # newest first
MAX_EXAMPLES = 50
BATCH_SIZE = 500  # requests in memory


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
    query = _requests_query(member, board, since).execution_options(yield_per=BATCH_SIZE)
    counts: Counter[PolicyEffect] = Counter()
    examples: list[SimulatedRequest] = []
    async for row in await session.stream(query):
        verdict = evaluate_rules(rules, build_facts(row, frozenset(row.tag_ids)))
        counts[verdict.effect] += 1
        if verdict.effect is not PolicyEffect.ASK_ONE and len(examples) < MAX_EXAMPLES:
            examples.append(
                SimulatedRequest(
                    row.id, row.board_id, row.action_type, row.created_at, row.status, verdict
                )
            )
    return SimulationResult(
        since, counts.total(), {effect: counts[effect] for effect in PolicyEffect}, examples
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
    query = select(
        Approval.id,
        Approval.board_id,
        Approval.action_type,
        Approval.agent_id,
        Approval.confidence,
        Approval.created_at,
        Approval.status,
        _stated_risk().label("payload"),
        tag_ids.label("tag_ids"),
    ).where(Approval.created_at >= since, Approval.board_id.in_(readable))
    if board is not None:
        query = query.where(Approval.board_id == board.id)
    return query.order_by(Approval.created_at.desc(), Approval.id.desc()).limit(MAX_REQUESTS)


def _stated_risk() -> ColumnElement[Any]:
    """Select the parts of the payload that state a risk: the whole can be large."""
    pairs = [part for key in (*RISK_KEYS, *RISK_FLAGS) for part in (key, Approval.payload[key])]
    return func.jsonb_build_object(*pairs, type_=JSONB)
