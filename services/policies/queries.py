"""Read approval policies, and evaluate them for requests."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from models import (
    Agent,
    Approval,
    ApprovalPolicy,
    Board,
    Member,
    PolicyRule,
    PolicyVerdict,
    Tag,
    TagAssignment,
    User,
)
from services.action_kinds import COMPLETION_WORDS
from services.policies.rules import build_facts, evaluate_rules


@dataclass(frozen=True)
class PolicyDetail:
    """The rules of an organization or a board, and who changed them last. Version 0: never."""

    rules: Sequence[PolicyRule] = ()
    version: int = 0
    updated_at: datetime | None = None
    updated_by: str | None = None  # name


async def get_policy(
    session: AsyncSession, organization_id: UUID, board: Board | None
) -> PolicyDetail:
    """Return the policy of a board, or of the organization if there is no board."""
    query = (
        select(ApprovalPolicy, User)
        .outerjoin(User, User.id == ApprovalPolicy.updated_by_user_id)
        .where(ApprovalPolicy.organization_id == organization_id, is_policy_of(board))
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        return PolicyDetail()
    policy, user = row
    return PolicyDetail(
        policy.rules, policy.version, policy.updated_at, user.display_name if user else None
    )


@dataclass(frozen=True)
class ReferenceNames:
    """The names of what rules can refer to, by id."""

    agents: Mapping[UUID, str]
    tags: Mapping[UUID, str]
    users: Mapping[UUID, str]


async def load_reference_names(session: AsyncSession, organization_id: UUID) -> ReferenceNames:
    """Return the names of the agents, tags and members of an organization."""
    agents = select(Agent.id, Agent.name).where(Agent.organization_id == organization_id)
    tags = select(Tag.id, Tag.name).where(Tag.organization_id == organization_id)
    users = select(User).join(Member, Member.user_id == User.id)
    users = users.where(Member.organization_id == organization_id)
    return ReferenceNames(
        {id: name for id, name in await session.execute(agents.order_by(Agent.name))},
        {id: name for id, name in await session.execute(tags.order_by(Tag.name))},
        {user.id: user.display_name for user in await session.scalars(users.order_by(User.email))},
    )


async def list_named_members(
    session: AsyncSession, organization_id: UUID, user_ids: Collection[UUID]
) -> Sequence[Member]:
    """Return those of these users who are members of an organization, with the users loaded."""
    query = (
        select(Member)
        .join(Member.user)
        .where(Member.organization_id == organization_id, Member.user_id.in_(user_ids))
        .options(contains_eager(Member.user))
        .order_by(func.lower(User.email), Member.id)
    )
    return (await session.scalars(query)).all() if user_ids else []


async def load_rules(session: AsyncSession, board: Board) -> list[PolicyRule]:
    """Return the rules for requests on a board in the order of evaluation: the board's first."""
    query: Select[Sequence[PolicyRule]] = (
        select(ApprovalPolicy.rules)
        .where(
            ApprovalPolicy.organization_id == board.organization_id,
            ApprovalPolicy.board_id.is_(None) | (ApprovalPolicy.board_id == board.id),
        )
        .order_by(ApprovalPolicy.board_id.nulls_last())
    )
    return [rule for rules in await session.scalars(query) for rule in rules]


async def list_named_tag_ids(session: AsyncSession, board: Board) -> frozenset[UUID]:
    """Return the tags that rules for requests on a board name."""
    rules = await load_rules(session, board)
    return frozenset(id for rule in rules for id in rule.tag_ids)


def is_policy_of(board: Board | None) -> ColumnElement[bool]:
    """Build the condition for the policy of a board, or of the whole organization."""
    return ApprovalPolicy.board_id == (board.id if board else None)


async def evaluate_request(
    session: AsyncSession,
    approval: Approval,
    board: Board,
    task_ids: Collection[UUID],
    *,
    is_completion: bool = False,
) -> PolicyVerdict:
    """Return what the policies of the board and its organization say about a request.

    With `is_completion` its kind counts as one that completes tasks.
    """
    rules = await load_rules(session, board)
    if not rules:
        return PolicyVerdict()
    tags = select(TagAssignment.tag_id).where(TagAssignment.task_id.in_(task_ids))
    tag_ids = frozenset(await session.scalars(tags)) if task_ids else frozenset[UUID]()
    facts = build_facts(approval, tag_ids)
    if is_completion:
        facts = replace(facts, kind=COMPLETION_WORDS)
    return evaluate_rules(rules, facts)
