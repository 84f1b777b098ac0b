"""Apply a policy to the requests of the last days, without changing anything."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    DateTime,
    Select,
    Text,
    Uuid,
    bindparam,
    case,
    column,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import AnySelect, Query
from core.db.transactions import try_lock_name
from core.errors import TooMany
from core.text import N_
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
from services.approval_actions import read_kind
from services.policies.queries import get_policy
from services.policies.rules import (
    MAX_RISK_LENGTH,
    RISK_FLAGS,
    RISK_KEYS,
    RuleSet,
    build_facts,
    check_rules,
)

SIMULATED_DAYS = 30
MAX_REQUESTS = 5_000  # newest first
MAX_EXAMPLES = 50
BATCH_SIZE = 500  # requests in memory
CPU_BUDGET = 1.0  # seconds of the event loop for all evaluations of a simulation
CPU_SLICE = 0.01  # seconds; then other requests have their turn
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
    """How many requests would have had each effect, and examples, the newest first.

    If there are more requests than could be simulated, the result is about the newest of them.
    """

    since: datetime
    total: int  # simulated requests
    available: int  # requests that the member may read
    counts: dict[PolicyEffect, int]
    examples: Sequence[SimulatedRequest]  # those that would not have asked one person

    @property
    def is_complete(self) -> bool:
        """Whether all requests were simulated."""
        return self.total == self.available


async def simulate_policy(
    session: AsyncSession,
    member: Member,
    board: Board | None,
    rules: Sequence[PolicyRule],
    cpu_clock: Callable[[], float] = time.thread_time,
) -> SimulationResult:
    """Evaluate rules for the requests of the last 30 days that the member may read.

    The rules of a board come before those of its organization, as in an evaluation. Requests that
    no rule can distinguish are evaluated once. CPU_BUDGET limits the CPU time of the thread of the
    event loop between waits, so that neither a slow database nor other requests make a result
    incomplete. Raises Invalid like `replace_policy`, and TooMany during another simulation of the
    same user, in whichever process: the lock ends with the transaction.
    """
    rules = check_rules(rules)
    if not await try_lock_name(session, f"policy simulation:{member.user_id}"):
        reason = N_("Another simulation of yours is still running.")
        raise TooMany(2, reason, code="simulation_running")
    if board is not None:
        rules += (await get_policy(session, member.organization_id, None)).rules
    simulation = _Simulation(rules)
    since = now() - timedelta(days=SIMULATED_DAYS)
    left = CPU_BUDGET
    async for batch in _read_batches(session, member, board, since, simulation.rules.tag_ids):
        slice_start = cpu_clock()
        for request in batch:
            simulation.add(request)
            used = cpu_clock() - slice_start
            if used >= CPU_SLICE:
                left -= used
                if left <= 0:
                    break
                await asyncio.sleep(0)
                slice_start = cpu_clock()
        else:
            left -= cpu_clock() - slice_start
        if left <= 0:
            break
    counts = simulation.counts
    total = available = counts.total()
    if left <= 0 or total == MAX_REQUESTS:
        query = _build_count_query(by_board=board is not None)
        [(count,)] = await query.fetch(session, **_build_parameters(member, board, since))
        available = max(total, count)
    by_effect = {effect: counts[effect] for effect in PolicyEffect}
    return SimulationResult(since, total, available, by_effect, simulation.examples)


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


class _Simulation:
    """The verdicts of rules about requests that are added one after the other."""

    def __init__(self, rules: Sequence[PolicyRule]) -> None:
        self.rules = RuleSet(rules)
        self.counts: Counter[PolicyEffect] = Counter()
        self.examples: list[SimulatedRequest] = []
        self._read_kind = cache(read_kind)
        self._verdicts: dict[Hashable, PolicyVerdict] = {}

    def add(self, request: _PastRequest) -> None:
        """Count a request, and keep it if it is an example."""
        facts = build_facts(request, frozenset(request.tag_ids), self._read_kind)
        key = self.rules.build_key(facts)
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdicts[key] = self.rules.evaluate(facts)
        self.counts[verdict.effect] += 1
        if verdict.effect is not PolicyEffect.ASK_ONE and len(self.examples) < MAX_EXAMPLES:
            self.examples.append(
                SimulatedRequest(
                    *(request.id, request.board_id, request.action_type),
                    *(request.created_at, request.status, verdict),
                )
            )


async def _read_batches(
    session: AsyncSession,
    member: Member,
    board: Board | None,
    since: datetime,
    tag_ids: frozenset[UUID],
) -> AsyncGenerator[Sequence[_PastRequest]]:
    """Yield up to MAX_REQUESTS requests since a time, newest first, with those of these tags."""
    query = _build_batch_query(by_board=board is not None)
    parameters = _build_parameters(member, board, since) | {"tag_ids": list(tag_ids)}
    position = FIRST_POSITION
    for _ in range(MAX_REQUESTS // BATCH_SIZE):
        batch = await query.fetch(session, **position, **parameters)
        yield batch
        if len(batch) < BATCH_SIZE:
            return
        position = {"before": batch[-1].created_at, "before_id": batch[-1].id}


def _build_parameters(member: Member, board: Board | None, since: datetime) -> dict[str, object]:
    where = {"board_id": board.id if board else None, "since": since}
    return {**boards.access_parameters(member), **where}


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
        .distinct()
        .join(ApprovalTask, ApprovalTask.task_id == TagAssignment.task_id)
        .where(
            ApprovalTask.approval_id == Approval.id,
            TagAssignment.tag_id == func.any(bindparam("tag_ids", type_=ARRAY(Uuid()))),
        )
        .correlate(Approval)
    )
    position = tuple_(bindparam("before", type_=AT), bindparam("before_id", type_=Uuid()))
    found = select(
        *(Approval.id, Approval.board_id, Approval.action_type, Approval.agent_id),
        *(Approval.confidence, Approval.created_at, Approval.status),
        _select_stated_risk().scalar_subquery(),
        func.array(tags.scalar_subquery(), type_=ARRAY(Uuid())),
    )
    query = _select_since(found, by_board=by_board)
    query = query.where(tuple_(Approval.created_at, Approval.id) < position)
    newest_first = query.order_by(Approval.created_at.desc(), Approval.id.desc())
    return Query(newest_first.limit(BATCH_SIZE), lambda row: _PastRequest(*row))


@cache
def _build_count_query(*, by_board: bool) -> Query[tuple[int]]:
    return Query(_select_since(select(func.count(Approval.id)), by_board=by_board))


def _select_since(query: AnySelect, *, by_board: bool) -> AnySelect:
    """Restrict a query to the requests since a time that the member may read."""
    query = query.where(
        Approval.created_at >= bindparam("since", type_=AT),
        Approval.board_id.in_(boards.READABLE_BOARD_IDS),
    )
    if by_board:
        query = query.where(Approval.board_id == bindparam("board_id", type_=Uuid()))
    return query


def _select_stated_risk() -> Select[Any]:
    """Select the parts of the payload that state a risk: the whole can be large.

    `parse_risk` only asks whether lists, objects and long texts are there, and not empty.
    """
    payload = case((func.jsonb_typeof(Approval.payload) == "object", Approval.payload))
    pairs = func.jsonb_each(payload).table_valued(
        column("key", Text()), column("value", JSONB(none_as_null=True)), name="pairs"
    )
    value, type_of_value = pairs.c.value, func.jsonb_typeof(pairs.c.value)
    text = value.op("#>>")(literal_column("'{}'::text[]"))
    is_long = func.length(text) > literal_column(str(MAX_RISK_LENGTH))
    short = case(
        ((type_of_value == "string") & is_long, literal_column("'true'::jsonb")),
        (type_of_value == "object", func.to_jsonb(value != literal_column("'{}'::jsonb"))),
        (type_of_value == "array", func.to_jsonb(value != literal_column("'[]'::jsonb"))),
        else_=value,
    )
    stated = func.jsonb_object_agg(pairs.c.key, short, type_=JSONB)
    return select(stated).select_from(pairs).where(pairs.c.key.in_((*RISK_KEYS, *RISK_FLAGS)))
