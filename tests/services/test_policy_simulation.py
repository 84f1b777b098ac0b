"""Simulations of approval policies: what they read and evaluate, and when they let others run."""

import asyncio
import itertools
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from core.clock import now
from models import (
    Approval,
    ApprovalStatus,
    CodingClient,
    CodingSession,
    PolicyEffect,
    PolicyRule,
    RiskLevel,
    TagAssignment,
    ToolCall,
    WeeklyWindow,
    new_id,
)
from services import policies
from services.approval_actions import read_kind
from services.policies.rules import (
    MAX_RULES,
    MAX_VALUES,
    RequestFacts,
    RuleSet,
    parse_risk,
)
from services.policies.simulation import (
    CPU_BUDGET,
    CPU_SLICE,
    _build_batch_query,
    _build_parameters,
    _read_batches,
)
from services.tool_facts import read_facts
from tests.support.approval_helpers import add_approval
from tests.support.board_rows import make_tag, make_task

KINDS = ("deploy.site", "email.send", "payment.refund", "spelling.choice")


def make_rule(effect: PolicyEffect = PolicyEffect.DENY, **fields: Any) -> PolicyRule:
    given: dict[str, Any] = {"id": new_id(), "name": "Rule", "effect": effect, **fields}
    return PolicyRule(**given)


def make_large_policy() -> Sequence[PolicyRule]:
    """Return as many rules and kinds as a policy can have; none of them matches."""
    names = [[f"{rule} never {kind}" for kind in range(MAX_VALUES)] for rule in range(MAX_RULES)]
    return [make_rule(kinds=kinds) for kinds in names]


async def add_requests(session: Any, world: Any, count: int, **fields: Any) -> list[Approval]:
    """Add requests of the worker, the newest first."""
    kinds, moment = itertools.cycle(KINDS), now()
    return [
        await add_approval(
            session,
            world,
            **{"action_type": next(kinds), "created_at": moment - timedelta(seconds=n)} | fields,
        )
        for n in range(count)
    ]


async def test_a_simulation_normalizes_each_kind_once(session, world, monkeypatch) -> None:
    await add_requests(session, world, 40)
    normalized: list[str] = []
    normalize = unicodedata.normalize

    def count(form: Any, text: str) -> str:
        normalized.append(text)
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", count)
    rules = make_large_policy()
    result = await policies.simulate_policy(session, world.alice_member, world.board, rules)
    assert (result.total, result.counts[PolicyEffect.ASK_ONE]) == (40, 40)
    assert len(normalized) <= 2 * MAX_RULES * MAX_VALUES + 3 * len(KINDS)


async def test_requests_that_are_alike_for_all_rules_are_evaluated_once(
    session, world, monkeypatch
) -> None:
    confidences = itertools.cycle((91.5, 70, 95))
    for _ in range(40):
        await add_requests(session, world, 1, confidence=next(confidences))
    evaluated: list[RequestFacts] = []
    evaluate = RuleSet.evaluate

    def count(rule_set: RuleSet, facts: RequestFacts) -> Any:
        evaluated.append(facts)
        return evaluate(rule_set, facts)

    monkeypatch.setattr(RuleSet, "evaluate", count)
    rules = [make_rule(agent_ids=[new_id()]), make_rule(confidence_below=90)]
    result = await policies.simulate_policy(session, world.alice_member, world.board, rules)
    assert (result.total, result.counts[PolicyEffect.DENY]) == (40, 13)
    assert len(evaluated) == 2


async def test_a_simulation_lets_others_run_and_ends_with_its_budget(session, world) -> None:
    requests = await add_requests(session, world, 40)
    seconds = itertools.count(step=CPU_BUDGET / 20)  # each look at the clock is 50 ms later
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    rules = [make_rule()]
    result = await policies.simulate_policy(
        session, world.alice_member, world.board, rules, cpu_clock=lambda: next(seconds)
    )
    other.cancel()
    assert CPU_BUDGET / 20 >= CPU_SLICE
    assert (result.total, result.available, result.is_complete) == (20, 40, False)
    assert sum(result.counts.values()) == 20
    assert [one.approval_id for one in result.examples] == [one.id for one in requests[:20]]
    assert turns >= 20


async def test_a_simulation_loads_only_what_rules_need(session, world) -> None:
    large = "x" * 100_000
    named, unnamed = make_tag(world.tern, "Named"), make_tag(world.tern, "Other")
    task = make_task(world.board, "Write")
    session.add_all(TagAssignment(task=task, tag=tag, created_at=now()) for tag in (named, unnamed))
    for payload in (
        {"reason": large, "risk": large},
        {"risk": "low", "destructive": large},
        {"risk": "low", "external": {"to": [large]}},
        {"risk": "low", "external": [large]},
        {"risk": "low", "external": {}, "risky": [], "irreversible": "no"},
        {"risk": "low", "risk_level": None, "risky": 0},
        {"reason": large},
        None,
    ):
        await add_approval(session, world, task, payload=payload)
    rule = make_rule(PolicyEffect.ALLOW, risk_at_most=RiskLevel.LOW, tag_ids=[named.id])
    result = await policies.simulate_policy(session, world.alice_member, None, [rule])
    assert (result.total, result.counts[PolicyEffect.ALLOW]) == (8, 2)
    since, tag_ids = now() - timedelta(days=1), [named.id]
    parameters = _build_parameters(world.alice_member, None, since) | {"tag_ids": tag_ids}
    query = _build_batch_query(by_board=False)
    async for batch in _read_batches(session, query, parameters):
        for request in batch:
            stored = await session.get(Approval, request.id)
            assert parse_risk(request.payload) == parse_risk(stored.payload), request.payload
            assert len(str(request.payload)) < 200
            assert request.tag_ids == [named.id]


AGENTS, TAGS = ([new_id() for _ in range(3)] for _ in range(2))
MOMENT = datetime(2026, 11, 25, 11, 59, tzinfo=UTC)
NOON = WeeklyWindow(time_zone="UTC", starts_at=720, ends_at=780)
RULES = st.builds(
    make_rule,
    st.sampled_from(PolicyEffect),
    name=st.sampled_from("abc"),
    kinds=st.lists(st.sampled_from((*KINDS, "deploy.*", "dep*", "*", "опл*")), max_size=2),
    agent_ids=st.lists(st.sampled_from(AGENTS[:2]), max_size=2),
    tag_ids=st.lists(st.sampled_from(TAGS[:2]), max_size=2),
    risk_at_least=st.none() | st.sampled_from(RiskLevel),
    risk_at_most=st.none() | st.sampled_from(RiskLevel),
    confidence_below=st.none() | st.sampled_from((50, 50.5)),
    time_window=st.none() | st.just(NOON),
    is_enabled=st.booleans(),
)


def make_facts(kind: str, **fields: Any) -> RequestFacts:
    words, skeleton = read_kind(kind)
    return RequestFacts(kind=words, skeleton=skeleton, **fields)


FACTS = st.builds(
    make_facts,
    kind=st.sampled_from((*KINDS, "deploysite", "dep1oy.site", "d\u0435ploy", "оплата")),
    agent_id=st.none() | st.sampled_from(AGENTS),
    risk=st.sampled_from(RiskLevel),
    confidence=st.sampled_from((49.9, 50, 50.2, 50.5, 90)),
    tag_ids=st.frozensets(st.sampled_from(TAGS)),
    requested_at=st.integers(0, 120).map(lambda seconds: MOMENT + timedelta(seconds=seconds)),
)


@given(rules=st.lists(RULES, max_size=4), requests=st.lists(FACTS, min_size=20, max_size=40))
def test_requests_with_the_same_key_have_the_same_verdict(rules, requests) -> None:
    rule_set = RuleSet(rules)
    verdicts: dict[Any, Any] = {}
    for facts in requests:
        verdict = RuleSet(rules).evaluate(facts)
        assert verdicts.setdefault(rule_set.build_key(facts), verdict) == verdict


async def add_calls(session: Any, world: Any, command: str, *answers: ApprovalStatus) -> None:
    """Add tool calls of the worker, each with an approval that a person has decided."""
    coding = CodingSession(
        id=new_id(),
        organization_id=world.board.organization_id,
        board_id=world.board.id,
        agent_id=world.worker.id,
        client=CodingClient.CLAUDE,
        session_key=str(new_id()),
        started_at=now(),
        last_signal_at=now(),
    )
    session.add(coding)
    facts = read_facts(CodingClient.CLAUDE, "Bash", {"command": command}, "/home/dev/project")
    for status in answers:
        approval = await add_approval(
            session,
            world,
            action_type="tool.Bash",
            is_tool_call=True,
            decided_status=status,
            decided_by_user_id=world.alice.id,
        )
        session.add(
            ToolCall(
                id=new_id(),
                organization_id=world.board.organization_id,
                board_id=world.board.id,
                agent_id=world.worker.id,
                session_id=coding.id,
                tool="Bash",
                request_hash="0",
                input_excerpt=command,
                facts=facts.to_json(),
                reason="no_rule",
                approval_id=approval.id,
                answer="allow" if status is ApprovalStatus.APPROVED else "deny",
                asked_at=now(),
                answered_at=now(),
            )
        )
    await session.flush()


async def test_tool_calls_are_simulated_and_rules_proposed(session, world) -> None:
    approved, rejected = ApprovalStatus.APPROVED, ApprovalStatus.REJECTED
    await add_calls(session, world, "npm test", *[approved] * 4)
    await add_calls(session, world, "git push", approved, approved, approved, rejected)
    deny = make_rule(commands=["git push"])
    ask = make_rule(PolicyEffect.ASK_ONE, tools=["*"])
    result = await policies.simulate_policy(session, world.alice_member, world.board, [deny, ask])
    calls = result.calls
    assert (result.total, calls.total, calls.is_complete) == (0, 8, True)
    assert (calls.counts[PolicyEffect.DENY], calls.counts[PolicyEffect.ASK_ONE]) == (4, 4)
    [proposal] = calls.proposals
    assert (proposal.rule.commands, proposal.approved) == (("npm test",), 4)
    assert proposal.before is not None
    assert proposal.before.id == ask.id
    better = await policies.simulate_policy(
        session, world.alice_member, world.board, [deny, proposal.rule, ask]
    )
    assert better.calls.counts[PolicyEffect.ALLOW] == 4
    assert better.calls.proposals == []
    assert {one.excerpt for one in better.calls.examples} == {"npm test"}


async def test_a_call_whose_input_was_too_large_is_not_simulated(session, world) -> None:
    await add_calls(session, world, "npm test", ApprovalStatus.APPROVED)
    await session.execute(update(ToolCall).values(facts={}))
    result = await policies.simulate_policy(session, world.alice_member, world.board, [])
    assert result.calls.total == 0


async def test_the_rules_of_the_board_come_first_for_tool_calls(session, world) -> None:
    facts = read_facts(CodingClient.CODEX, "Bash", {"command": "npm test"}, "/home/dev/project")
    allow = make_rule(PolicyEffect.ALLOW, commands=["npm test"])
    await policies.replace_policy(session, world.alice_member, None, [make_rule(tools=["Bash"])])
    await policies.replace_policy(session, world.alice_member, world.board, [allow])
    found = await policies.evaluate_tool_call(session, world.board, world.worker.id, facts, now())
    assert (found.verdict.effect, found.reason) == (PolicyEffect.ALLOW, "rule")
    await policies.replace_policy(session, world.alice_member, world.board, [])
    found = await policies.evaluate_tool_call(session, world.board, world.worker.id, facts, now())
    assert (found.verdict.effect, found.reason) == (PolicyEffect.DENY, "rule")
