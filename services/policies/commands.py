"""Change approval policies."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.transactions import lock_name
from core.errors import Invalid
from core.fields import KnownVersions, check_version
from core.text import N_
from models import (
    Agent,
    Approval,
    ApprovalPolicy,
    Board,
    EventType,
    Member,
    PolicyRule,
    Tag,
    new_id,
)
from services import events, organizations
from services.hooks import Hook
from services.policies.approvers import IS_UNDECIDED
from services.policies.queries import PolicyDetail, get_policy
from services.policies.rules import check_rules


@dataclass(frozen=True)
class PolicyChange:
    """The rules of one board or of all were replaced. Those with undecided calls are locked."""

    organization_id: UUID
    board_ids: Sequence[UUID]


POLICY_CHANGE: Hook[PolicyChange, Sequence[events.NewEvent]] = Hook()
"""Rules were replaced. The handler returns events."""


async def replace_policy(
    session: AsyncSession,
    member: Member,
    board: Board | None,
    rules: Sequence[PolicyRule],
    known_versions: KnownVersions = None,
) -> PolicyDetail:
    """Replace all rules of a locked board, or of the organization if there is no board.

    Raises Forbidden unless the member is an admin, Invalid with the field of a rule, and
    PreconditionFailed if `known_versions` does not contain the current version.
    """
    organizations.require_admin(member)
    rules = check_rules(rules)
    board_ids = [board.id] if board else await _lock_boards(session, member.organization_id)
    policy = await _lock_policy(session, member, board)
    before = policy.rules
    await _check_references(session, member, rules, before)
    check_version(known_versions, policy.version)
    if before == rules:
        return await get_policy(session, member.organization_id, board)
    session.add(policy)
    policy.rules, policy.version = rules, policy.version + 1
    policy.updated_by_user_id, policy.updated_at = member.user_id, now()
    await session.flush()
    data: dict[str, object] = {
        "name": board.name if board else "all boards",
        "before": [rule.to_json() for rule in before],
        "after": [rule.to_json() for rule in rules],
    }
    updated = events.NewEvent(
        EventType.APPROVAL_POLICY_UPDATED,
        member.user,
        organization_id=member.organization_id,
        board=board,
        data=data,
    )
    more = await POLICY_CHANGE.run(session, PolicyChange(member.organization_id, board_ids))
    await events.record_events(session, [updated, *more])
    name = member.user.display_name
    return PolicyDetail(rules, policy.version, policy.updated_at, name, member.user_id)


async def _lock_boards(session: AsyncSession, organization_id: UUID) -> Sequence[UUID]:
    """Lock the boards whose undecided tool calls the rules of their organization can allow."""
    waiting = select(Approval.board_id).where(Approval.is_tool_call, IS_UNDECIDED)
    query = select(Board.id).where(Board.organization_id == organization_id, Board.id.in_(waiting))
    query = query.order_by(Board.id).with_for_update(key_share=True)
    return (await session.scalars(query)).all()


async def _lock_policy(
    session: AsyncSession, member: Member, board: Board | None
) -> ApprovalPolicy:
    """Lock the policy until the commit. Return a new one, which is not stored, if there is none."""
    key = f"approval policy:{board.id if board else member.organization_id}"
    await lock_name(session, key)
    query = select(ApprovalPolicy).where(
        ApprovalPolicy.organization_id == member.organization_id,
        ApprovalPolicy.board_id == (board.id if board else None),
    )
    policy = await session.scalar(query.execution_options(populate_existing=True))
    if policy is None:
        policy = ApprovalPolicy(
            id=new_id(),
            organization_id=member.organization_id,
            board_id=board.id if board else None,
            rules=[],
            version=0,
            updated_at=now(),
        )
    return policy


async def _check_references(
    session: AsyncSession,
    member: Member,
    rules: Sequence[PolicyRule],
    before: Sequence[PolicyRule],
) -> None:
    """Raise Invalid if a rule newly names what is not part of the organization.

    What a stored rule names may have been deleted since: such a rule stays and matches nothing.
    """
    organization_id = member.organization_id
    for field, id_column, is_inside in (
        ("agent_ids", Agent.id, Agent.organization_id == organization_id),
        ("tag_ids", Tag.id, Tag.organization_id == organization_id),
        ("decider_ids", Member.user_id, Member.organization_id == organization_id),
    ):
        known = {id for rule in before for id in getattr(rule, field)}
        named = {id for rule in rules for id in getattr(rule, field)} - known
        if not named:
            continue
        found = select(id_column).where(id_column.in_(named), is_inside)
        missing = named - set(await session.scalars(found))
        for number, rule in enumerate(rules):
            if missing.intersection(getattr(rule, field)):
                raise Invalid(
                    "reference_unknown",
                    N_("This is not part of your organization."),
                    field=f"rules.{number}.{field}",
                )
