"""Approval policies of boards and organizations, and their simulation."""

from uuid import UUID

from pydantic import Field

from api.framework.dependencies import (
    active_membership,
    admin_membership,
    board_for_admin,
    board_for_read,
)
from api.framework.fields import NonNegativeInt, ResponseModel, Timestamp
from api.framework.operation import USER, Operation, changes_decisions, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, json_time
from models import (
    ApprovalStatus,
    Board,
    CodingClient,
    Member,
    PolicyEffect,
    RiskLevel,
    Role,
    ToolAction,
    ToolAnswer,
)
from services import organizations, policies
from services.policies import EFFECT_DESCRIPTION, PolicyReplacement


class PolicyWindowRead(ResponseModel):
    """A part of each week."""

    time_zone: str
    starts_at: int
    ends_at: int
    weekdays: list[int]


class PolicyRuleRead(ResponseModel):
    """A rule of a policy."""

    id: UUID
    name: str
    effect: PolicyEffect = Field(description=EFFECT_DESCRIPTION)
    kinds: list[str]
    agent_ids: list[UUID]
    risk_at_least: RiskLevel | None
    risk_at_most: RiskLevel | None
    confidence_below: float | None
    tag_ids: list[UUID]
    time_window: PolicyWindowRead | None
    clients: list[CodingClient]
    tools: list[str]
    actions: list[ToolAction]
    commands: list[str]
    paths: list[str]
    hosts: list[str]
    expires_after: int | None
    decider_role: Role
    decider_ids: list[UUID]
    requires_recent_sign_in: bool
    is_enabled: bool


class PolicyRead(ResponseModel):
    """The rules of a board or an organization. The first rule that matches a request applies.

    The rules of a board come before those of its organization. If none matches, one person decides.
    """

    rules: list[PolicyRuleRead]
    version: int = Field(description="Increases with every change; the first part of the ETag.")
    updated_at: Timestamp | None
    updated_by: str | None = Field(description="The name of the user who changed it last.")


class SimulatedRequestRead(ResponseModel):
    """A past request, and what the policy would have done with it."""

    approval_id: UUID
    board_id: UUID
    action_type: str
    requested_at: Timestamp
    status: ApprovalStatus
    effect: PolicyEffect
    rule_name: str | None


class SimulatedCallRead(ResponseModel):
    """A past tool call, and what the policy would have done with it."""

    call_id: UUID
    agent_id: UUID
    approval_id: UUID | None = Field(description="The approval, if people were asked.")
    tool: str
    excerpt: str = Field(description="Its commands, paths or hosts, as the client reported them.")
    asked_at: Timestamp
    answer: ToolAnswer | None = Field(description="What the client was told.")
    effect: PolicyEffect
    reason: str
    rule_name: str | None


class ProposedRuleRead(ResponseModel):
    """A rule that would have saved questions about tool calls."""

    rule: PolicyRuleRead
    before_rule_id: UUID | None = Field(
        description="The rule that asks about these calls: the new one must come before it."
    )
    approved: NonNegativeInt
    asked: NonNegativeInt = Field(description="How many questions people answered.")


class CallSimulationRead(ResponseModel):
    """What a policy would have done with tool calls of coding agents."""

    total: NonNegativeInt
    available: NonNegativeInt
    is_complete: bool
    counts: dict[PolicyEffect, int]
    examples: list[SimulatedCallRead] = Field(
        description="Calls that would have been answered in another way, newest first."
    )
    proposals: list[ProposedRuleRead]


class SimulationRead(ResponseModel):
    """What a policy would have done with the requests and tool calls since a time."""

    since: Timestamp
    total: NonNegativeInt = Field(description="How many requests were simulated.")
    available: NonNegativeInt = Field(
        description="How many requests there are. If this is more than `total`, the policy could "
        "not be applied to all of them within the limits of a simulation."
    )
    is_complete: bool = Field(
        description="Whether all requests were simulated. Otherwise the result is about the newest."
    )
    counts: dict[PolicyEffect, int]
    examples: list[SimulatedRequestRead] = Field(
        description="Requests that one person would not have been asked about, newest first."
    )
    calls: CallSimulationRead


@reads_only
async def get_organization_policy(context: RequestContext, member: Member) -> Encoded[PolicyRead]:
    """Return the approval policy of the active organization, which applies to all boards."""
    return await _read(context, member.organization_id, None)


@changes_decisions
@error_responses(412)
async def replace_organization_policy(
    context: RequestContext, member: Member, body: PolicyReplacement
) -> Encoded[PolicyRead]:
    """Replace the approval policy of the active organization. Only admins."""
    return await _replace(context, member, None, body)


async def simulate_organization_policy(
    context: RequestContext, member: Member, body: PolicyReplacement
) -> SimulationRead:
    """Apply rules to the requests of the last 30 days. Nothing changes.

    A simulation is limited in requests and in time: see `is_complete`. A user has one at a time.
    """
    return await _simulate(context, member, None, body)


@reads_only
async def get_board_policy(context: RequestContext, board: Board) -> Encoded[PolicyRead]:
    """Return the approval policy of a board. Rules of the organization follow these rules."""
    return await _read(context, board.organization_id, board)


@changes_decisions
@error_responses(412)
async def replace_board_policy(
    context: RequestContext, board: Board, body: PolicyReplacement
) -> Encoded[PolicyRead]:
    """Replace the approval policy of a board. Only admins."""
    return await _replace(context, await _get_member(context, board), board, body)


async def simulate_board_policy(
    context: RequestContext, board: Board, body: PolicyReplacement
) -> SimulationRead:
    """Apply rules to the board's requests of the last 30 days. Nothing changes.

    A simulation is limited in requests and in time: see `is_complete`. A user has one at a time.
    """
    return await _simulate(context, await _get_member(context, board), board, body)


async def _read(
    context: RequestContext, organization_id: UUID, board: Board | None
) -> Encoded[PolicyRead]:
    return _encode(await policies.get_policy(context.source, organization_id, board))


async def _replace(
    context: RequestContext, member: Member, board: Board | None, body: PolicyReplacement
) -> Encoded[PolicyRead]:
    replaced = await policies.replace_policy(
        context.session, member, board, body.to_rules(), context.known_versions
    )
    return _encode(replaced)


def _encode(policy: policies.PolicyDetail) -> Encoded[PolicyRead]:
    rules = []
    for rule in policy.rules:
        confidence = None if rule.confidence_below is None else float(rule.confidence_below)
        # the fields of a PolicyRuleRead are stored in the same order
        rules.append(rule.to_json() | {"confidence_below": confidence})
    fields = {
        "rules": rules,
        "version": policy.version,
        "updated_at": json_time(policy.updated_at),
        "updated_by": policy.updated_by,
    }
    return Encoded(fields, policy.version)


async def _simulate(
    context: RequestContext, member: Member, board: Board | None, body: PolicyReplacement
) -> SimulationRead:
    found = await policies.simulate_policy(context.session, member, board, body.to_rules())
    examples = [
        SimulatedRequestRead(
            approval_id=one.approval_id,
            board_id=one.board_id,
            action_type=one.action_type,
            requested_at=one.requested_at,
            status=one.status,
            effect=one.verdict.effect,
            rule_name=one.verdict.rule_name,
        )
        for one in found.examples
    ]
    return SimulationRead(
        since=found.since,
        total=found.total,
        available=found.available,
        is_complete=found.is_complete,
        counts=found.counts,
        examples=examples,
        calls=_build_calls(found.calls),
    )


def _build_calls(found: policies.CallSimulation) -> CallSimulationRead:
    examples = [
        SimulatedCallRead(
            call_id=one.call_id,
            agent_id=one.agent_id,
            approval_id=one.approval_id,
            tool=one.tool,
            excerpt=one.excerpt,
            asked_at=one.asked_at,
            answer=one.answer,
            effect=one.verdict.verdict.effect,
            reason=one.verdict.reason,
            rule_name=one.verdict.verdict.rule_name,
        )
        for one in found.examples
    ]
    proposals = [
        ProposedRuleRead(
            rule=PolicyRuleRead.model_validate(one.rule.to_json()),
            before_rule_id=one.before.id if one.before else None,
            approved=one.approved,
            asked=one.asked,
        )
        for one in found.proposals
    ]
    return CallSimulationRead(
        total=found.total,
        available=found.available,
        is_complete=found.is_complete,
        counts=found.counts,
        examples=examples,
        proposals=proposals,
    )


async def _get_member(context: RequestContext, board: Board) -> Member:
    """Return the caller's membership in the organization of the board."""
    member = await organizations.find_membership(
        context.session, context.user, board.organization_id
    )
    assert member is not None  # the board was readable
    return member


ORGANIZATION_POLICY = "/organizations/me/approval-policy"
BOARD_POLICY = "/boards/{board_id}/approval-policy"
TAGS = ["approval-policies"]

OPERATIONS = [
    Operation("GET", ORGANIZATION_POLICY, get_organization_policy, USER, TAGS, active_membership),
    Operation(
        "PUT", ORGANIZATION_POLICY, replace_organization_policy, USER, TAGS, admin_membership
    ),
    Operation(
        "POST",
        ORGANIZATION_POLICY + "/simulations",
        simulate_organization_policy,
        USER,
        TAGS,
        active_membership,
    ),
    Operation("GET", BOARD_POLICY, get_board_policy, USER, TAGS, board_for_read),
    Operation("PUT", BOARD_POLICY, replace_board_policy, USER, TAGS, board_for_admin),
    Operation(
        "POST", BOARD_POLICY + "/simulations", simulate_board_policy, USER, TAGS, board_for_read
    ),
]
