"""How tests make and change boards and groups, and what is told of them."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Actor, Board, BoardGroup, Event, Member, Organization
from services import boards, messages
from services.boards import BoardDraft
from tests.world import World


def a_draft(**fields: Any) -> BoardDraft:
    """Make a draft that needs nothing else."""
    given: dict[str, Any] = {"name": "Nest", "description": "Where we live"} | fields
    return BoardDraft(**given)


async def member_of(session: AsyncSession, member: Member) -> Member:
    """Load a member with the organization and the user."""
    found = await session.get(Member, member.id)
    assert found is not None
    await session.refresh(found, ["organization", "user"])
    return found


async def create(session: AsyncSession, world: World, **fields: Any) -> Board:
    """Let Alice create a board in Tern."""
    member = await member_of(session, world.alices)
    return await boards.create(session, member, a_draft(**fields))


async def change(session: AsyncSession, actor: Actor, board: Board, **changes: Any) -> Board:
    """Hold a board, and change it."""
    held = await boards.hold(session, actor, board.id)
    return await boards.change(session, actor, held, changes)


async def events_of(session: AsyncSession, board: Board) -> list[Event]:
    """Return what happened to a board, but for what was told of it."""
    here = (Event.board_id == board.id) & Event.type.not_in(messages.EVENTS)
    return list(await session.scalars(select(Event).where(here).order_by(Event.seq)))


async def a_group(session: AsyncSession, organization: Organization, name: str) -> BoardGroup:
    """Make a group of boards."""
    group = BoardGroup(
        organization_id=organization.id,
        name=name,
        slug=name.lower(),
        created_at=now(),
        updated_at=now(),
    )
    session.add(group)
    await session.flush()
    return group
