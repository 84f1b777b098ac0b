"""Rules of the policy with which people allow a tool call from now on, without a question."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, NotFound
from core.text import N_
from models import ApprovalStatus, CodingClient, Member, PolicyEffect, PolicyRule
from services import approvals, policies
from services.approvals import ApprovalDetail
from services.policies import RuleSet
from services.tool_facts import ToolFacts, read_facts

MAX_LENGTH = 10_000  # characters of an input; a longer one has parts that no rule can name


def build_allow_rule(detail: ApprovalDetail) -> PolicyRule | None:
    """Build the rule that allows the tool call of an approval, for its agent and client.

    Return None if no rule can allow exactly this call.
    """
    facts = _read_facts(detail)
    rule = policies.propose_rule(facts) if facts else None
    if facts is None or rule is None or detail.agent is None:
        return None
    rule = replace(rule, agent_ids=(detail.agent.id,), clients=(facts.client,))
    asked = policies.build_tool_facts(facts, detail.agent.id, now())
    verdict = RuleSet([rule]).evaluate_tool_call(asked).verdict
    return rule if verdict.effect is PolicyEffect.ALLOW else None


def _read_facts(detail: ApprovalDetail) -> ToolFacts | None:
    payload = detail.approval.payload or {}
    values = payload.get("input")
    if not isinstance(values, Mapping) or len(str(values)) > MAX_LENGTH:
        return None
    client = CodingClient(payload["client"])
    return read_facts(client, payload["tool"], values, payload.get("cwd"))


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
    """Approve a tool call, and add the rule of `build_allow_rule` to the policy of the board.

    The rule stands before the one that asked, so never before one that denies the call. It stays if
    the decision is undone. Parameters and errors are those of `approvals.decide_with_undo`; raises
    Forbidden unless the member is an admin, and Conflict if no rule can allow the call.
    """
    board = await approvals.lock_board_of_approval(session, member.user, approval_id)
    if board.organization_id != member.organization_id:
        raise NotFound("approval_not_found", N_("There is no such approval."))
    detail = await approvals.get_approval(session, board, approval_id)
    if not detail.is_undecided:
        raise approvals.already_decided(detail)
    rule, facts = build_allow_rule(detail), _read_facts(detail)
    if rule is None or facts is None or detail.agent is None:
        raise _no_rule()
    policy = await policies.get_policy(session, member.organization_id, board)
    asked = policies.build_tool_facts(facts, detail.agent.id, now())
    rules = policies.place_rule(policy.rules, rule, asked)
    if RuleSet(rules).evaluate_tool_call(asked).verdict.effect is not PolicyEffect.ALLOW:
        raise _no_rule()  # another one denies the call, or asks two people
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
