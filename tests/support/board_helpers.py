"""Create and update boards and groups, and read their events."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import Actor, Board, BoardGroup, Event, EventType, Member, Organization
from services import boards
from services.boards import BoardCreate, BoardUpdate
from tests.support.world import World

MESSAGE_EVENTS = [type for type in EventType if type.startswith("message.")]


def make_board_fields(**fields: Any) -> BoardCreate:
    """Return the fields of a new board."""
    given: dict[str, Any] = {"name": "Nest", "description": "Where we live"} | fields
    return BoardCreate(**given)


async def load_member(session: AsyncSession, member: Member) -> Member:
    """Load a member with its organization and user."""
    found = await session.get(Member, member.id)
    assert found is not None
    await session.refresh(found, ["organization", "user"])
    return found


async def create_board(session: AsyncSession, world: World, **fields: Any) -> Board:
    """Create a board in Tern as Alice."""
    member = await load_member(session, world.alice_member)
    return await boards.create_board(session, member, make_board_fields(**fields))


async def update_board(session: AsyncSession, actor: Actor, board: Board, **changes: Any) -> Board:
    """Lock and update a board."""
    locked = await boards.lock_board(session, actor, board.id)
    return await boards.update_board(session, actor, locked, BoardUpdate.of(**changes))


async def list_board_events(session: AsyncSession, board: Board) -> list[Event]:
    """Return the recorded events of a board without those of messages."""
    condition = (Event.board_id == board.id) & Event.type.not_in(MESSAGE_EVENTS)
    return list(await session.scalars(select(Event).where(condition).order_by(Event.seq)))


async def add_group(session: AsyncSession, organization: Organization, name: str) -> BoardGroup:
    """Add a board group."""
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
