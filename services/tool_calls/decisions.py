"""Decide tool calls for longer than once, always by a rule, or with another input."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pydantic_core
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.text import N_, is_nested_too_deeply, is_storable_json
from models import (
    ApprovalStatus,
    CodingClient,
    EventType,
    Member,
    PolicyEffect,
    PolicyRule,
    PolicyVerdict,
    ToolCall,
    ToolGrant,
    User,
    new_id,
)
from services import agents, approvals, events, organizations, policies
from services.approvals import EDITED_INPUT, ApprovalDetail
from services.coding_sessions import CONNECTION_TEST
from services.policies import PolicyChange, RuleSet
from services.tool_calls.clients import MAX_ESCAPED_LENGTH, MAX_INPUT_SIZE
from services.tool_calls.grants import GrantScope
from services.tool_calls.queries import EDITING_CLIENTS, find_call_of_approval
from services.tool_facts import ToolFacts, read_facts


async def approve_for(
    session: AsyncSession,
    user: User,
    approval_id: UUID,
    scope: GrantScope,
    *,
    note: str | None = None,
    action_hash: str | None = None,
    signed_in_at: datetime | None = None,
    undo_seconds: float,
) -> ApprovalDetail:
    """Approve a tool call, and all identical calls until its session has ended or its task is done.

    The permission counts when the decision is final. Parameters and errors are those of
    `approvals.decide_with_undo`; raises Conflict too if calls like this one are never allowed
    without a question, and if the session belongs to no task.
    """
    started_at = now()
    detail = await approvals.decide_with_undo(
        session,
        user,
        approval_id,
        status=ApprovalStatus.APPROVED,
        note=note,
        action_hash=action_hash,
        signed_in_at=signed_in_at,
        undo_seconds=undo_seconds,
    )
    found = await find_call_of_approval(session, approval_id)
    if found is None or detail.agent is None or scope not in found.scopes:
        reason = N_("A permission for identical calls is not possible here. Allow it once.")
        raise Conflict("grant_not_possible", reason)
    decided_at = detail.approval.decided_at
    assert decided_at is not None
    call, task_id = found.call, (found.session.task_id if scope is GrantScope.TASK else None)
    query = select(ToolGrant).where(
        ToolGrant.approval_id == approval_id, ToolGrant.created_at == decided_at
    )
    given = await session.scalar(query)
    if given is not None and given.task_id == task_id:
        return detail
    if given is not None or decided_at < started_at:
        raise approvals.already_decided(detail)
    grant = ToolGrant(
        id=new_id(),
        organization_id=detail.board.organization_id,
        board_id=detail.board.id,
        agent_id=detail.agent.id,
        session_id=None if task_id else found.session.id,
        task_id=task_id,
        approval_id=approval_id,
        request_hash=call.request_hash,
        tool=call.tool,
        input_excerpt=call.input_excerpt,
        granted_by_user_id=user.id,
        created_at=decided_at,  # it counts as long as this decision does
    )
    session.add(grant)
    await session.flush()
    created = agents.agent_event(
        EventType.AGENT_GRANT_CREATED,
        user,
        detail.board,
        detail.agent,
        tool=call.tool,
        scope=scope,
        grant_id=str(grant.id),
    )
    await events.record_events(session, [created])
    return detail


async def approve_with_edit(
    session: AsyncSession,
    user: User,
    approval_id: UUID,
    edited_input: Mapping[str, Any],
    *,
    note: str | None = None,
    action_hash: str | None = None,
    signed_in_at: datetime | None = None,
    undo_seconds: float,
) -> ApprovalDetail:
    """Approve a tool call with another input, which its client uses instead.

    The policy is evaluated again for this input, which becomes a part of what the hash is of.
    `action_hash` is of what the user has seen before the edit. Parameters and errors are those of
    `approvals.decide_with_undo`; raises Conflict too if the client knows no edits, if two people
    must decide, and if the policy denies the edited call.
    """
    board = await approvals.lock_board_of_approval(session, user, approval_id)
    detail = await approvals.get_approval(session, board, approval_id)
    approval, payload = detail.approval, detail.approval.payload or {}
    is_known = approval.is_tool_call and payload.get("client") in EDITING_CLIENTS
    if detail.agent is None or not is_known or "input" not in payload:
        reason = N_(
            "The client of this call does not support edited inputs. Reject it, and say why."
        )
        raise Conflict("edit_not_possible", reason)
    if not detail.is_undecided:
        raise approvals.already_decided(detail)
    if approval.policy_verdict.effect is PolicyEffect.ASK_TWO:
        raise _edit_needs_two()
    seen = action_hash.lower() if action_hash else approval.requested_hash
    if seen != approvals.hash_current_action(approval, ()):
        text = N_("The content of this request has changed. Read it again, then decide.")
        raise Conflict("approval_content_changed", text)
    edited = _check_input(edited_input)
    facts = read_facts(CodingClient(payload["client"]), payload["tool"], edited, payload.get("cwd"))
    found = await policies.evaluate_tool_call(session, board, detail.agent.id, facts, now())
    await _require_decider(session, user, detail, found.verdict, signed_in_at)
    if edited != payload["input"]:
        approval.payload = payload | {EDITED_INPUT: edited}
    await session.flush()
    return await approvals.decide_with_undo(
        session,
        user,
        approval_id,
        status=ApprovalStatus.APPROVED,
        note=note,
        action_hash=approvals.hash_current_action(approval, ()),
        signed_in_at=signed_in_at,
        undo_seconds=undo_seconds,
    )


async def _require_decider(
    session: AsyncSession,
    user: User,
    detail: ApprovalDetail,
    verdict: PolicyVerdict,
    signed_in_at: datetime | None,
) -> None:
    """Check that the policy lets the user allow the edited call alone."""
    if verdict.effect is PolicyEffect.DENY:
        reason = N_("The policy “%(rule)s” denies the edited call.")
        raise Conflict("edit_denied", reason, rule=verdict.rule_name)
    if verdict.effect is PolicyEffect.ASK_TWO:
        raise _edit_needs_two()
    member = await organizations.find_membership(session, user, detail.board.organization_id)
    if member is None or not policies.may_decide(verdict, user.id, member.role):
        reason = N_("The policy “%(rule)s” lets only certain people decide this.")
        raise Forbidden("decider_not_allowed", reason, rule=verdict.rule_name)
    if verdict.requires_recent_sign_in:
        organizations.require_recent_sign_in(signed_in_at)


def _edit_needs_two() -> Conflict:
    reason = N_("Two people must decide this call, so it cannot be edited. Reject it, and say why.")
    return Conflict("edit_needs_two", reason)


def _check_input(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an input that a person has edited, with the limits of others. Raises Invalid."""
    edited = dict(value)
    if (
        is_nested_too_deeply(edited)
        or not is_storable_json(edited, max_length=MAX_ESCAPED_LENGTH)
        or len(pydantic_core.to_json(edited)) > MAX_INPUT_SIZE
    ):
        reason = N_("This is too large, or not valid JSON.")
        raise Invalid("not_storable", reason, field="edited_input")
    return edited


MAX_RULE_INPUT = 10_000  # characters of an input; a longer one has parts that no rule can name


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
    if not isinstance(values, Mapping) or len(str(values)) > MAX_RULE_INPUT:
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
    decided = await approvals.decide_with_undo(
        session,
        member.user,
        approval_id,
        status=ApprovalStatus.APPROVED,
        note=note,
        action_hash=action_hash,
        signed_in_at=signed_in_at,
        undo_seconds=undo_seconds,
    )
    await policies.replace_policy(session, member, board, rules)  # decides the other calls
    return decided


async def allow_undecided_calls(
    session: AsyncSession, change: PolicyChange
) -> Sequence[events.NewEvent]:
    """Approve the undecided tool calls that a changed policy allows; return the events to record.

    Their clients would not have to ask again. The call of a test of a connection is for people.
    """
    found = await approvals.list_undecided_calls(session, change.board_ids)
    if not found:
        return ()
    tests = select(ToolCall.approval_id).where(
        ToolCall.approval_id.in_([one.approval.id for one in found]),
        ToolCall.reason == CONNECTION_TEST,
    )
    test_ids = set(await session.scalars(tests))
    rules = await policies.load_rules_of_boards(session, change.organization_id, change.board_ids)
    new_events: list[events.NewEvent] = []
    for detail in found:
        facts = _read_facts(detail)
        if facts is None or detail.agent is None or detail.approval.id in test_ids:
            continue
        asked = policies.build_tool_facts(facts, detail.agent.id, now())
        verdict = RuleSet(rules[detail.board.id]).evaluate_tool_call(asked).verdict
        if verdict.effect is PolicyEffect.ALLOW:
            new_events += await approvals.allow_by_policy(session, detail, verdict)
    return new_events


def _no_rule() -> Conflict:
    reason = N_("No rule can allow exactly this call. Allow it once, or write a rule yourself.")
    return Conflict("rule_not_possible", reason)
