"""Deleting organizations with everything in them."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, ScalarSelect, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import NotFound
from models import Agent, Board, Gateway, Member, Organization, User
from services import provisioning
from services.organizations.rules import require_owner


async def delete_organization(session: AsyncSession, member: Member) -> None:
    """Delete the member's organization with all that is in it. Raises Forbidden unless they own it.

    Whoever worked in it works in their oldest other organization from their next call on. Nothing
    is recorded: the events go with the rest. Its agents go from their gateways afterwards.
    """
    await hold_contents(session, [member.organization_id])
    still = (
        select(Member)
        .join(Member.organization)
        .where(Member.id == member.id)
        .with_for_update(of=[Organization, Member])
        .execution_options(populate_existing=True)
    )
    held = await session.scalar(still)
    if held is None:
        raise NotFound("organization_not_found", "You belong to no such organization.")
    require_owner(held)
    await erase(session, [member.organization_id])


async def hold_contents(session: AsyncSession, organization_ids: Collection[UUID]) -> None:
    """Wait for whoever is changing something in organizations, and let nobody else begin.

    People, boards, gateways and agents are held in this order, as whoever changes them does: a
    deletion that held the organization first would wait for them while they wait for it.
    """
    inside = Member.organization_id.in_(organization_ids)
    is_theirs = User.id.in_(select(Member.user_id).where(inside))
    works_there = User.active_organization_id.in_(organization_ids)
    people = _held(User, or_(is_theirs, works_there))
    boards = _held(Board, Board.organization_id.in_(organization_ids), after=people)
    gateways = _held(Gateway, Gateway.organization_id.in_(organization_ids), after=boards)
    agents = _held(Agent, Agent.organization_id.in_(organization_ids), after=gateways)
    await session.execute(select(_number(agents)))


async def erase(session: AsyncSession, organization_ids: Collection[UUID]) -> None:
    """Delete organizations whose contents are held. The database takes along what is in them.

    What we have brought to their gateways stays to be removed there.
    """
    departing = provisioning.departing(Gateway.organization_id.in_(organization_ids))
    gone = delete(Organization).where(Organization.id.in_(organization_ids))
    await session.execute(gone.add_cte(departing.cte("departing")))


def _held(
    kind: type[User | Board | Gateway | Agent],
    which: ColumnElement[bool],
    *,
    after: CTE | None = None,
) -> CTE:
    """Hold rows in order of id, once those of `after` are held."""
    rows = select(kind.id).where(which).order_by(kind.id).with_for_update(key_share=True)
    if after is not None:
        rows = rows.where(_number(after) >= 0)
    return rows.cte(f"held_{kind.__tablename__}")


def _number(rows: CTE) -> ScalarSelect[int]:
    return select(func.count()).select_from(rows).scalar_subquery()
