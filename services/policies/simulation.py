"""Apply a policy to the requests and tool calls of the last days, without changing anything."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    DateTime,
    Select,
    SQLColumnExpression,
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
    ToolAnswer,
    ToolCall,
)
from services import boards
from services.approval_actions import read_kind
from services.policies.proposals import Proposal, Questions
from services.policies.queries import get_policy
from services.policies.rules import (
    MAX_RISK_LENGTH,
    RISK_FLAGS,
    RISK_KEYS,
    RuleSet,
    build_facts,
    build_tool_facts,
    check_rules,
)
from services.policies.tool_rules import ToolVerdict
from services.tool_facts import ToolFacts

SIMULATED_DAYS = 30
MAX_REQUESTS = 5_000  # newest first
MAX_EXAMPLES = 50
BATCH_SIZE = 500  # requests in memory
CPU_BUDGET = 1.0  # seconds of the event loop for all evaluations of a simulation
CPU_SLICE = 0.01  # seconds; then other requests have their turn
AT = DateTime(timezone=True)
AnyColumn: TypeAlias = SQLColumnExpression[Any]


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
class SimulatedCall:
    """A past tool call with its actual answer and the verdict that it would have had."""

    call_id: UUID
    agent_id: UUID
    approval_id: UUID | None
    tool: str
    excerpt: str  # its commands, paths or hosts
    asked_at: datetime
    answer: ToolAnswer | None
    verdict: ToolVerdict


@dataclass(frozen=True)
class CallSimulation:
    """How many tool calls would have had each effect, examples, and rules that save questions.

    The examples are those that would have been answered in another way, the newest first.
    """

    total: int
    available: int
    counts: dict[PolicyEffect, int]
    examples: Sequence[SimulatedCall]
    proposals: Sequence[Proposal]

    @property
    def is_complete(self) -> bool:
        """Whether all calls were simulated."""
        return self.total == self.available


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
    calls: CallSimulation

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
    rule_set = RuleSet(rules)
    since = now() - timedelta(days=SIMULATED_DAYS)
    parameters = _build_parameters(member, board, since)
    budget = _Budget(cpu_clock)
    by_board = board is not None
    requests = _RequestSimulation(rule_set)
    tags = {"tag_ids": list(rule_set.tag_ids)}
    query = _build_batch_query(by_board=by_board)
    await budget.spend(_read_batches(session, query, parameters | tags), requests.add)
    calls = _CallSimulation(rule_set)
    query = _build_call_query(by_board=by_board)
    if not budget.is_spent:
        await budget.spend(_read_batches(session, query, parameters), calls.add)
    available = [requests.counts.total(), calls.counts.total()]
    if budget.is_spent or MAX_REQUESTS in available:
        [(*counted,)] = await _build_count_query(by_board=by_board).fetch(session, **parameters)
        available = list(map(max, available, counted))
    return SimulationResult(
        since,
        requests.counts.total(),
        available[0],
        _by_effect(requests.counts),
        requests.examples,
        CallSimulation(
            calls.counts.total(),
            available[1],
            _by_effect(calls.counts),
            calls.examples,
            calls.questions.list_proposals(),
        ),
    )


def _by_effect(counts: Mapping[PolicyEffect, int]) -> dict[PolicyEffect, int]:
    return {effect: counts[effect] for effect in PolicyEffect}


Past = TypeVar("Past", "_PastRequest", "_PastCall")


class _Budget:
    """The CPU time of a simulation."""

    def __init__(self, cpu_clock: Callable[[], float]) -> None:
        self._clock = cpu_clock
        self._left = CPU_BUDGET

    @property
    def is_spent(self) -> bool:
        return self._left <= 0

    async def spend(
        self, batches: AsyncGenerator[Sequence[Past]], add: Callable[[Past], None]
    ) -> None:
        """Add what is read until nothing is left. Others have their turn between slices."""
        async for batch in batches:
            slice_start = self._clock()
            for one in batch:
                add(one)
                used = self._clock() - slice_start
                if used >= CPU_SLICE:
                    self._left -= used
                    if self.is_spent:
                        return
                    await asyncio.sleep(0)
                    slice_start = self._clock()
            self._left -= self._clock() - slice_start
            if self.is_spent:
                return


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


class _RequestSimulation:
    """The verdicts of rules about requests that are added one after the other."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
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
                    request.id,
                    request.board_id,
                    request.action_type,
                    request.created_at,
                    request.status,
                    verdict,
                )
            )


@dataclass(slots=True)
class _PastCall:
    """What the rules need of a tool call, and what an example shows of it."""

    id: UUID
    created_at: datetime
    agent_id: UUID
    tool: str
    facts: dict[str, Any]
    answer: ToolAnswer | None
    approval_id: UUID | None
    status: ApprovalStatus | None
    decided_by_user_id: UUID | None


class _CallSimulation:
    """The verdicts of rules about tool calls that are added one after the other."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.counts: Counter[PolicyEffect] = Counter()
        self.examples: list[SimulatedCall] = []
        self.questions = Questions(rules)
        self._verdicts: dict[Hashable, ToolVerdict] = {}
        self._approval_ids: set[UUID] = set()

    def add(self, call: _PastCall) -> None:
        """Count a call, and keep it if it is an example or a question."""
        tool = ToolFacts.from_json(call.facts)
        facts = build_tool_facts(tool, call.agent_id, call.created_at)
        key = self.rules.build_key(facts)
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdicts[key] = self.rules.evaluate_tool_call(facts)
        effect = verdict.verdict.effect
        self.counts[effect] += 1
        if call.approval_id and call.status and call.approval_id not in self._approval_ids:
            self._approval_ids.add(call.approval_id)
            if call.decided_by_user_id:
                self.questions.add(facts, call.status)
        was_allowed = call.approval_id is None and call.answer is ToolAnswer.ALLOW
        if (effect is PolicyEffect.ALLOW) is not was_allowed and len(self.examples) < MAX_EXAMPLES:
            self.examples.append(
                SimulatedCall(
                    call.id,
                    call.agent_id,
                    call.approval_id,
                    call.tool,
                    tool.excerpt,
                    call.created_at,
                    call.answer,
                    verdict,
                )
            )


async def _read_batches(
    session: AsyncSession, query: Query[Past], parameters: Mapping[str, object]
) -> AsyncGenerator[Sequence[Past]]:
    """Yield up to MAX_REQUESTS requests or calls, newest first."""
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
        Approval.id,
        Approval.board_id,
        Approval.action_type,
        Approval.agent_id,
        Approval.confidence,
        Approval.created_at,
        Approval.status,
        _select_stated_risk().scalar_subquery(),
        func.array(tags.scalar_subquery(), type_=ARRAY(Uuid())),
    )
    query = _select_since(found, by_board=by_board)
    query = query.where(tuple_(Approval.created_at, Approval.id) < position)
    newest_first = query.order_by(Approval.created_at.desc(), Approval.id.desc())
    return Query(newest_first.limit(BATCH_SIZE), lambda row: _PastRequest(*row))


HAS_FACTS = ToolCall.is_ungated.is_(False) & (ToolCall.facts != literal_column("'{}'::jsonb"))
"""Nothing is known of calls that were never asked for, and of those whose input was too large."""


@cache
def _build_call_query(*, by_board: bool) -> Query[_PastCall]:
    """Build the query of the next tool calls before a position, newest first."""
    position = tuple_(bindparam("before", type_=AT), bindparam("before_id", type_=Uuid()))
    found = (
        select(
            ToolCall.id,
            ToolCall.asked_at,
            ToolCall.agent_id,
            ToolCall.tool,
            ToolCall.facts,
            ToolCall.answer,
            ToolCall.approval_id,
            Approval.decided_status,
            Approval.decided_by_user_id,
        )
        .outerjoin(Approval, Approval.id == ToolCall.approval_id)
        .where(HAS_FACTS, tuple_(ToolCall.asked_at, ToolCall.id) < position)
        .order_by(ToolCall.asked_at.desc(), ToolCall.id.desc())
        .limit(BATCH_SIZE)
    )
    query = _restrict(found, ToolCall.asked_at, ToolCall.board_id, by_board=by_board)
    return Query(query, lambda row: _PastCall(*row))


@cache
def _build_count_query(*, by_board: bool) -> Query[tuple[int, int]]:
    requests = _select_since(select(func.count(Approval.id)), by_board=by_board)
    calls = select(func.count(ToolCall.id)).where(HAS_FACTS)
    calls = _restrict(calls, ToolCall.asked_at, ToolCall.board_id, by_board=by_board)
    return Query(select(requests.scalar_subquery(), calls.scalar_subquery()))


def _select_since(query: AnySelect, *, by_board: bool) -> AnySelect:
    """Restrict a query to the readable requests since a time that are not tool calls."""
    query = query.where(Approval.is_tool_call.is_(False))
    return _restrict(query, Approval.created_at, Approval.board_id, by_board=by_board)


def _restrict(
    query: AnySelect, moment: AnyColumn, board_id: AnyColumn, *, by_board: bool
) -> AnySelect:
    query = query.where(
        moment >= bindparam("since", type_=AT), board_id.in_(boards.READABLE_BOARD_IDS)
    )
    return query.where(board_id == bindparam("board_id", type_=Uuid())) if by_board else query


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
