"""Apply a policy to the requests of the last days, without changing anything."""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, DateTime, Uuid, bindparam, func, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from core.clock import now
from core.db.reads import Query, Source
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
AT = DateTime(timezone=True)


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
    source: Source, member: Member, board: Board | None, rules: Sequence[PolicyRule]
) -> SimulationResult:
    """Evaluate rules for the requests of the last 30 days that the member may read.

    The rules of a board come before those of its organization, as in an evaluation. Raises Invalid
    like `replace_policy`.
    """
    rules = check_rules(rules)
    if board is not None:
        rules += (await get_policy(source, member.organization_id, None)).rules
    since = now() - timedelta(days=SIMULATED_DAYS)
    counts: Counter[PolicyEffect] = Counter()
    examples: list[SimulatedRequest] = []
    async for request in _read_requests(source, member, board, since):
        verdict = evaluate_rules(rules, build_facts(request, frozenset(request.tag_ids)))
        counts[verdict.effect] += 1
        if verdict.effect is not PolicyEffect.ASK_ONE and len(examples) < MAX_EXAMPLES:
            examples.append(
                SimulatedRequest(
                    *(request.id, request.board_id, request.action_type),
                    *(request.created_at, request.status, verdict),
                )
            )
    return SimulationResult(
        since, counts.total(), {effect: counts[effect] for effect in PolicyEffect}, examples
    )


@dataclass(slots=True)
class _PastRequest:
    """What the rules need of a request, and what an example shows of it."""

    id: UUID
    board_id: UUID
    action_type: str
    agent_id: UUID | None
    confidence: float
    created_at: datetime
    status: ApprovalStatus
    payload: dict[str, Any] | None  # the parts that state a risk
    tag_ids: Sequence[UUID]


async def _read_requests(
    source: Source, member: Member, board: Board | None, since: datetime
) -> AsyncGenerator[_PastRequest]:
    """Yield up to MAX_REQUESTS requests since a time, newest first, in batches."""
    query = _build_batch_query(by_board=board is not None)
    parameters = {**boards.access_parameters(member), "board_id": board.id if board else None}
    last: _PastRequest | None = None
    for _ in range(MAX_REQUESTS // BATCH_SIZE):
        position = {"before": last.created_at, "before_id": last.id} if last else FIRST_POSITION
        batch = await query.fetch(source, since=since, **position, **parameters)
        for last in batch:
            yield last
        if len(batch) < BATCH_SIZE:
            return


FIRST_POSITION: Mapping[str, object] = {
    "before": datetime.max.replace(tzinfo=UTC),
    "before_id": UUID(int=0),
}
"""A position after all requests."""


@cache
def _build_batch_query(*, by_board: bool) -> Query[_PastRequest]:
    """Build the query of the next requests before a position, newest first."""
    tags = (
        select(TagAssignment.tag_id)
        .join(ApprovalTask, ApprovalTask.task_id == TagAssignment.task_id)
        .where(ApprovalTask.approval_id == Approval.id)
        .correlate(Approval)
    )
    position = tuple_(bindparam("before", type_=AT), bindparam("before_id", type_=Uuid()))
    query = select(
        *(Approval.id, Approval.board_id, Approval.action_type, Approval.agent_id),
        *(Approval.confidence, Approval.created_at, Approval.status, _stated_risk()),
        func.array(tags.scalar_subquery(), type_=ARRAY(Uuid())),
    ).where(
        Approval.created_at >= bindparam("since"),
        tuple_(Approval.created_at, Approval.id) < position,
        Approval.board_id.in_(boards.READABLE_BOARD_IDS),
    )
    if by_board:
        query = query.where(Approval.board_id == bindparam("board_id"))
    newest_first = query.order_by(Approval.created_at.desc(), Approval.id.desc())
    return Query(newest_first.limit(BATCH_SIZE), lambda row: _PastRequest(*row))


def _stated_risk() -> ColumnElement[Any]:
    """Select the parts of the payload that state a risk: the whole can be large."""
    pairs = [part for key in (*RISK_KEYS, *RISK_FLAGS) for part in (key, Approval.payload[key])]
    return func.jsonb_build_object(*pairs, type_=JSONB)
