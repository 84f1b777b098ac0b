"""Rules of the policy with which people allow a tool call from now on, without a question."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Invalid, NotFound
from core.text import N_
from models import Agent, ApprovalStatus, CodingClient, Member, PolicyEffect, PolicyRule
from services import approvals, policies
from services.approvals import ApprovalDetail
from services.policies import PolicyRuleFields, RuleSet
from services.tool_facts import ToolFacts, ToolKind, find_tool_kind, read_facts

MAX_LENGTH = 10_000  # characters of an input; a longer one has parts that no rule can name
MAX_NAME_LENGTH = 100  # characters
PARTS = {
    ToolKind.SHELL: "commands",
    ToolKind.READ: "paths",
    ToolKind.LIST: "paths",
    ToolKind.WRITE: "paths",
    ToolKind.PATCH: "paths",
    ToolKind.FETCH: "hosts",
}
"""What a rule must name besides the tool: otherwise it would allow every call of the tool."""


def build_standing_rule(detail: ApprovalDetail) -> PolicyRule | None:
    """Build the rule that allows the tool call of an approval and those with the same parts.

    It is about the agent that asked. Return None if no rule can allow the call, or only one that
    allows more than its parts.
    """
    payload = detail.approval.payload or {}
    values = payload.get("input")
    if detail.agent is None or not isinstance(values, Mapping) or len(str(values)) > MAX_LENGTH:
        return None
    facts = _read_facts(payload)
    try:
        fields = PolicyRuleFields.parse(
            {
                "name": _build_name(facts),
                "effect": PolicyEffect.ALLOW,
                "agent_ids": [detail.agent.id],
                "clients": [facts.client],
                "tools": [facts.tool],
                "commands": list(dict.fromkeys(one.text for one in facts.commands)),
                "paths": list(facts.paths),
                "hosts": list(facts.hosts),
            }
        )
    except Invalid:  # it has more parts, or longer ones, than a rule can name
        return None
    rule = fields.to_rule()
    part = PARTS.get(find_tool_kind(facts.tool, facts.client))
    named = [*rule.tools, *rule.commands, *rule.paths, *rule.hosts]
    if any("*" in one for one in named) or (part is not None and not getattr(rule, part)):
        return None
    return rule if _allows([rule], facts, detail.agent) else None


def _read_facts(payload: Mapping[str, Any]) -> ToolFacts:
    client = CodingClient(payload["client"])
    return read_facts(client, payload["tool"], payload["input"], payload.get("cwd"))


def _build_name(facts: ToolFacts) -> str:
    parts = [one.text for one in facts.commands] or [*facts.paths, *facts.hosts]
    return " ".join(f"{facts.tool}: {', '.join(parts)}".split())[:MAX_NAME_LENGTH].rstrip(": ")


def _allows(rules: Sequence[PolicyRule], facts: ToolFacts, agent: Agent) -> bool:
    found = RuleSet(rules).evaluate_tool_call(policies.build_tool_facts(facts, agent.id, now()))
    return found.verdict.effect is PolicyEffect.ALLOW


async def approve_always(
    session: AsyncSession,
    member: Member,
    approval_id: UUID,
    *,
    note: str | None = None,
    action_hash: str | None = None,
    signed_in_at: datetime | None = None,
    undo_seconds: float,
) -> ApprovalDetail:
    """Approve a tool call, and add the rule of `build_standing_rule` to the policy of the board.

    The rule comes before the one that asked, so it never precedes a rule that denies the call. An
    undone decision leaves the rule. Parameters and errors are those of
    `approvals.decide_with_undo`; raises Forbidden unless the member is an admin, and Conflict if no
    rule can allow the call.
    """
    board = await approvals.lock_board_of_approval(session, member.user, approval_id)
    if board.organization_id != member.organization_id:
        raise NotFound("approval_not_found", N_("There is no such approval."))
    detail = await approvals.get_approval(session, board, approval_id)
    if not detail.is_undecided:
        raise approvals.already_decided(detail)
    rule = build_standing_rule(detail)
    if rule is None or detail.agent is None:
        raise _no_rule()
    facts = _read_facts(detail.approval.payload or {})
    policy = await policies.get_policy(session, member.organization_id, board)
    rules = list(policy.rules)
    asked = policies.build_tool_facts(facts, detail.agent.id, now())
    verdicts = [RuleSet([one]).evaluate_tool_call(asked) for one in rules]
    place = next((at for at, one in enumerate(verdicts) if one.reason == "rule"), len(rules))
    if place < len(rules) and verdicts[place].verdict.effect is not PolicyEffect.ASK_ONE:
        raise _no_rule()
    rules.insert(place, rule)
    await policies.replace_policy(session, member, board, rules)
    return await approvals.decide_with_undo(
        session,
        member.user,
        approval_id,
        status=ApprovalStatus.APPROVED,
        note=note,
        action_hash=action_hash,
        signed_in_at=signed_in_at,
        undo_seconds=undo_seconds,
    )


def _no_rule() -> Conflict:
    reason = N_("No rule can allow exactly this call. Allow it once, or write a rule yourself.")
    return Conflict("rule_not_possible", reason)
