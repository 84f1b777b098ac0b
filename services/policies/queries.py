"""Read approval policies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from models import ApprovalPolicy, Board, PolicyRule, User


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


def is_policy_of(board: Board | None) -> ColumnElement[bool]:
    """Build the condition for the policy of a board, or of the whole organization."""
    return ApprovalPolicy.board_id == (board.id if board else None)
