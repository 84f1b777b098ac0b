"""Change approval policies."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from core.clock import now
from core.errors import Invalid
from core.validation import KnownVersions, check_version
from models import Agent, ApprovalPolicy, Board, EventType, Member, PolicyRule, Tag, new_id
from services import events, organizations
from services.policies.queries import PolicyDetail, is_policy_of
from services.policies.rules import check_rules


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
    await _check_references(session, member, rules)
    policy = await _lock_policy(session, member, board)
    check_version(known_versions, policy.version)
    before = policy.rules
    if before != rules:
        policy.rules, policy.version = rules, policy.version + 1
        policy.updated_by_user_id, policy.updated_at = member.user_id, now()
        await session.flush()
        await events.record_event(
            session,
            EventType.APPROVAL_POLICY_UPDATED,
            member.user,
            organization_id=member.organization_id,
            board=board,
            data={
                "name": board.name if board else "all boards",
                "before": [rule.to_json() for rule in before],
                "after": [rule.to_json() for rule in rules],
            },
        )
    return PolicyDetail(rules, policy.version, policy.updated_at, member.user.display_name)


async def _lock_policy(
    session: AsyncSession, member: Member, board: Board | None
) -> ApprovalPolicy:
    """Lock the policy until the commit. Create an empty one if there is none."""
    key = f"approval policy:{board.id if board else member.organization_id}"
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
    query = select(ApprovalPolicy).where(
        ApprovalPolicy.organization_id == member.organization_id, is_policy_of(board)
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
        session.add(policy)
    return policy


async def _check_references(
    session: AsyncSession, member: Member, rules: Sequence[PolicyRule]
) -> None:
    """Raise Invalid if a rule names an agent, tag or user of another organization."""
    organization_id = member.organization_id
    for field, id_column, is_inside in (
        ("agent_ids", Agent.id, Agent.organization_id == organization_id),
        ("tag_ids", Tag.id, Tag.organization_id == organization_id),
        ("decider_ids", Member.user_id, Member.organization_id == organization_id),
    ):
        named = {id for rule in rules for id in getattr(rule, field)}
        missing = await _find_missing(session, id_column, is_inside, named)
        for number, rule in enumerate(rules):
            if missing.intersection(getattr(rule, field)):
                raise Invalid(
                    "reference_unknown",
                    "This is not part of your organization.",
                    field=f"rules.{number}.{field}",
                )


async def _find_missing(
    session: AsyncSession,
    id_column: InstrumentedAttribute[Any],
    is_inside: ColumnElement[bool],
    ids: Collection[UUID],
) -> set[UUID]:
    if not ids:
        return set()
    return set(ids) - set(
        await session.scalars(select(id_column).where(id_column.in_(ids), is_inside))
    )
