"""Lock users and organizations until the commit.

All changes lock in the same order: users, boards, gateways, agents, organizations, members and
invitations; several rows of a table in the order of their ids, and agents in that of their boards
and ids (`AGENT_LOCK_ORDER`), so that who has locked a board can change its agents and then those
that manage its gateway. So they cannot deadlock.

A row that refers to a board or an agent locks it until the commit, against its deletion. So a
change that locks no board but rows that are deleted with it, such as an agent, a session of a
client or notifications, keeps the board first (`boards.block_agent_deletion`,
`boards.block_board_deletions`). A deletion of a board locks it `to_delete` at once.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    ScalarSelect,
    Select,
    Uuid,
    bindparam,
    case,
    false,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from core.db.reads import Query
from core.errors import NotFound, Unauthorized
from core.text import N_
from models import (
    AGENT_LOCK_ORDER,
    OPEN_STATUSES,
    Agent,
    Board,
    Gateway,
    Member,
    Organization,
    Task,
    User,
)
from services.organizations.rules import require_admin


async def lock_user(session: AsyncSession, user: User) -> User:
    """Lock the row of a user until the commit, and return it.

    Raises Unauthorized if the user no longer exists.
    """
    query = select(User).where(User.id == user.id).with_for_update(key_share=True)
    locked = await session.scalar(query.execution_options(populate_existing=True))
    if locked is None:
        raise Unauthorized
    return locked


async def lock_user_with_boards(session: AsyncSession, selected: Select[UUID]) -> None:
    """Lock the selected user and the boards with their open tasks, in this order."""
    locked = select(User.id).where(User.id.in_(selected)).with_for_update(key_share=True)
    user_id = select(locked.cte("locked").c.id).scalar_subquery()
    assigned = _select_boards_of_open_tasks(user_id)
    query = select(Board.id).where(Board.id.in_(assigned)).order_by(Board.id)
    await session.execute(query.with_for_update(key_share=True, of=Board))


async def lock_organization(session: AsyncSession, member: Member) -> Organization:
    """Lock the organization of an admin until the commit. Raises Forbidden for other members."""
    require_admin(member)
    await lock_user(session, member.user)
    return await lock_organization_row(session, member.organization_id)


async def lock_organization_row(session: AsyncSession, organization_id: UUID) -> Organization:
    """Lock an organization and return it, after its user. Raises NotFound."""
    query = select(Organization).where(Organization.id == organization_id)
    query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    organization = await session.scalar(query)
    if organization is None:
        raise NotFound("organization_not_found", N_("There is no such organization."))
    return organization


async def lock_organization_as_admin(session: AsyncSession, member: Member) -> Member:
    """Lock the organization for one of its admins, and return their current membership."""
    query = (
        select(Member)
        .join(Member.organization)
        .join(Member.user)
        .options(contains_eager(Member.user), contains_eager(Member.organization))
        .where(Member.id == member.id)
        .with_for_update(key_share=True, of=[Organization, Member])
        .execution_options(populate_existing=True)
    )
    locked = await session.scalar(query)
    if locked is None:
        raise NotFound("organization_not_found", N_("You do not belong to this organization."))
    require_admin(locked)
    return locked


async def lock_memberships(session: AsyncSession, organization_ids: Collection[UUID]) -> None:
    """Keep roles, rights and memberships of organizations as they are until the commit.

    What is read afterwards is still true at the commit. Changes of members lock the organization
    too, after the boards. Call it after the boards were locked.
    """
    await SHARED_ORGANIZATIONS.fetch(session, organization_ids=list(organization_ids))


SHARED_ORGANIZATIONS: Query[tuple[UUID]] = Query(
    select(Organization.id)
    .where(Organization.id == func.any(bindparam("organization_ids", type_=ARRAY(Uuid()))))
    .order_by(Organization.id)
    .with_for_update(read=True)
)


def build_keeping_condition(agent_id: Any) -> ColumnElement[bool]:
    """Build a condition that is true, and keeps the board of an agent before rows are locked."""
    board = select(Board.id).join(Agent, Agent.board_id == Board.id).where(Agent.id == agent_id)
    kept = board.with_for_update(read=True, key_share=True, of=Board).subquery("kept")
    return select(func.count()).select_from(kept).scalar_subquery() >= 0


async def lock_organization_contents(
    session: AsyncSession, organization_ids: Collection[UUID], *, user_id: UUID | None = None
) -> None:
    """Lock the users, boards, gateways and agents of organizations that are deleted.

    A deletion that locked the organization first would deadlock with other changes. The users stay,
    except for `user_id`, whose account is deleted with the organizations: the boards of their open
    tasks in other organizations are locked too, in one order with those that are deleted.
    """
    is_inside = Member.organization_id.in_(organization_ids)
    is_member = User.id.in_(select(Member.user_id).where(is_inside))
    is_active = User.active_organization_id.in_(organization_ids)
    rows = _lock_rows_cte(User, or_(User.id == user_id, is_member, is_active), is_deleted=false())
    for model in (Board, Gateway, Agent):
        is_deleted = is_chosen = model.organization_id.in_(organization_ids)
        if model is Board and user_id is not None:
            is_chosen |= Board.id.in_(_select_boards_of_open_tasks(user_id))
        rows = _lock_rows_cte(model, is_chosen, after=rows, is_deleted=is_deleted)
    await session.execute(select(_count_rows(rows)))


def _select_boards_of_open_tasks(user_id: UUID | ScalarSelect[UUID]) -> Select[UUID]:
    """Select the boards on which an open task is assigned to a user."""
    return select(Task.board_id).where(
        Task.assigned_user_id.is_not(None),
        Task.status.in_(OPEN_STATUSES),
        Task.assigned_user_id == user_id,
    )


def _lock_rows_cte(
    model: type[User | Board | Gateway | Agent],
    condition: ColumnElement[bool],
    *,
    is_deleted: ColumnElement[bool],
    after: CTE | None = None,
) -> CTE:
    """Lock rows in their order, after those of `after` are locked.

    Only those that are deleted get the lock that others read as a deletion: messages to the agents
    of such a board are omitted.
    """
    order = AGENT_LOCK_ORDER if model is Agent else (model.id,)
    rows = select(model.id, is_deleted.label("is_deleted")).where(condition).order_by(*order)
    if after is not None:
        rows = rows.where(_count_rows(after) >= 0)
    chosen = rows.subquery("chosen")
    row = select(model.id).where(model.id == chosen.c.id)
    to_delete = row.with_for_update().scalar_subquery()
    to_change = row.with_for_update(key_share=True).scalar_subquery()
    locked = case((chosen.c.is_deleted, to_delete), else_=to_change)
    return select(locked.label("id")).select_from(chosen).cte(f"locked_{model.__tablename__}")


def _count_rows(rows: CTE) -> ScalarSelect[int]:
    return select(func.count()).select_from(rows).scalar_subquery()
